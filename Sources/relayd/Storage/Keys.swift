import RelayModel

// What commands, outcomes and readers say about prekeys and changed keys.

/// A device uploads keys. Every signature was checked before the command was made.
package struct SetKeys: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    /// X25519, 32 bytes, with the identity's signature, 64 bytes; nil: as it was.
    package var agreement: SignedKey?
    package var signedPrekey: SignedKey?
    package var lastResortPrekey: SignedKey?
    /// Ascending ids, each once; at most ``Limits/oneTimePrekeys``.
    package var oneTimePrekeys: [OneTimePrekey]
    /// How long what is replaced stays valid, from the command's stamp on.
    package var graceMilliseconds: Int64
    package init(
        user: UserID, device: DeviceID, agreement: SignedKey? = nil, signedPrekey: SignedKey? = nil, lastResortPrekey: SignedKey? = nil,
        oneTimePrekeys: [OneTimePrekey] = [], grace: Duration = Limits.keyGrace
    ) {
        self.user = user
        self.device = device
        self.agreement = agreement
        self.signedPrekey = signedPrekey
        self.lastResortPrekey = lastResortPrekey
        self.oneTimePrekeys = oneTimePrekeys
        graceMilliseconds = grace.milliseconds
    }
}

/// One bundle of each of a user's devices, for a device of `user`.
package struct TakePrekeys: Codable, Sendable {
    package var user: UserID
    package var device: DeviceID
    package var target: UserID
    package init(user: UserID, device: DeviceID, target: UserID) {
        self.user = user
        self.device = device
        self.target = target
    }
}

/// An X25519 key that the device's identity has signed.
package struct SignedKey: Codable, Sendable, Equatable {
    /// Of an agreement key its version; in ``SetKeys`` that is the store's to say, and 0.
    package var id: UInt64
    package var key: [UInt8]
    package var signature: [UInt8]
    package init(id: UInt64, key: [UInt8], signature: [UInt8]) {
        self.id = id
        self.key = key
        self.signature = signature
    }
}

package struct OneTimePrekey: Codable, Sendable, Equatable {
    package var id: UInt64
    package var key: [UInt8]
    package init(id: UInt64, key: [UInt8]) {
        self.id = id
        self.key = key
    }
}

/// The `kind` column of `prekeys`.
package enum StoredKeyKind: Int64, Sendable {
    /// Replaced ones only: the one in use stands with the device.
    case agreement = 0
    case signedPrekey = 1
    case lastResortPrekey = 2
}

/// A device's keys as whoever seals for it needs them.
package struct DeviceBundle: Sendable {
    package var device: DeviceID
    package var name: String
    package var keys: DeviceKeySet
    package var agreementVersion: UInt32
    package var revoked = false
    /// When the agreement key took the place of another one; 1970 for one of the enrolment, and where it is not known.
    var agreementSince = Timestamp(milliseconds: 0)
    package var signedPrekey: SignedKey?
    /// Handed out here and nowhere else; nil when there was none left, and where none is asked for.
    package var oneTimePrekey: OneTimePrekey?
    /// In place of the one-time prekey.
    package var lastResortPrekey: SignedKey?
}

/// What ``Command/takePrekeys(_:)`` handed out.
package struct TakenPrekeys: Sendable {
    package var user: UserID
    /// In the order of their identifiers.
    package var bundles: [DeviceBundle]
    /// Devices that have become low on one-time prekeys by it, with how many are left.
    package var low: [(device: DeviceID, left: Int)]
}

/// What the relay has of a device's keys.
package struct DeviceKeysState: Sendable, Equatable {
    package var agreementVersion: UInt32
    /// Ids; 0: none.
    package var signedPrekey: UInt64
    package var lastResortPrekey: UInt64
    /// How many are left.
    package var oneTimePrekeys: Int
    /// The highest id that was ever uploaded.
    package var highestOneTimeID: UInt64
}

/// A key that is in use, or was replaced.
package struct DeviceKeyRow: Sendable, Equatable {
    package var kind: StoredKeyKind
    package var key: SignedKey
    /// Nil: in use. Otherwise it is valid before this.
    package var expires: Timestamp?
    /// When it was uploaded; nil where that is not known.
    package var since: Timestamp?
}

/// What became of ``Command/setKeys(_:)``.
package struct KeysSet: Sendable {
    package var state: DeviceKeysState
    /// Nil when nothing was replaced or new but one-time prekeys.
    package var change: KeyChange?
    /// Set once in a window, when the device has changed its keys suspiciously often.
    package var flood: Int?
}

/// A device has other keys than before: what its user's contacts and other devices are told.
package struct KeyChange: Sendable {
    package enum Kind: UInt8, Sendable {
        case enrolled = 1
        case revoked = 2
        case agreementKey = 3
        case signedPrekey = 4
        case lastResortPrekey = 5
        /// An operator took them away: the device uploads others.
        case oneTimePrekeys = 6
    }

    package var user: UserID
    package var bundle: DeviceBundle
    package var kinds: [Kind]
    /// Until when what was replaced is valid; nil when nothing was replaced, or it is not.
    package var formerUntil: Timestamp?
    /// The command's stamp.
    package var version: UInt64
    /// The user and their contacts, in the order of their identifiers.
    package var audience: [UserID]
    /// The device did not ask for it and is told, too.
    package var tellsDevice = false
}
