import RelayModel

/// What a device has on the relay for others to begin conversations with, and which replaced keys are still valid.
package struct PrekeyRecord: Codable, Sendable, Equatable {
    /// Which agreement key of the device is in use; 1 is that of its enrolment.
    package var agreementVersion: Int
    /// When the agreement key was replaced; absent for the first one, and where it is not known.
    package var agreementSince: Timestamp?
    /// Ids; absent where there is none.
    package var signedPrekey: UInt64?
    package var signedPrekeySince: Timestamp?
    package var lastResortPrekey: UInt64?
    package var lastResortPrekeySince: Timestamp?
    /// How many nobody has got yet.
    package var oneTimePrekeys: Int
    /// The highest id that was ever uploaded; absent when none was.
    package var highestOneTimeID: UInt64?
    package var replaced: [ReplacedKeyRecord]
    package init(
        agreementVersion: Int, agreementSince: Timestamp?, signedPrekey: UInt64?, signedPrekeySince: Timestamp?, lastResortPrekey: UInt64?,
        lastResortPrekeySince: Timestamp?, oneTimePrekeys: Int, highestOneTimeID: UInt64?, replaced: [ReplacedKeyRecord]
    ) {
        self.agreementVersion = agreementVersion
        self.agreementSince = agreementSince
        self.signedPrekey = signedPrekey
        self.signedPrekeySince = signedPrekeySince
        self.lastResortPrekey = lastResortPrekey
        self.lastResortPrekeySince = lastResortPrekeySince
        self.oneTimePrekeys = oneTimePrekeys
        self.highestOneTimeID = highestOneTimeID
        self.replaced = replaced
    }
}

/// A key that a device has replaced, and that is valid for a while.
package struct ReplacedKeyRecord: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable { case agreement, signed, lastResort = "last-resort" }
    package var kind: Kind
    /// Of an agreement key its version.
    package var id: UInt64
    package var validUntil: Timestamp
    package init(kind: Kind, id: UInt64, validUntil: Timestamp) {
        self.kind = kind
        self.id = id
        self.validUntil = validUntil
    }
}

package enum RevocableKeys: String, Codable, Sendable, CaseIterable {
    case signed
    case lastResort = "last-resort"
    case oneTime = "one-time"
    case all
    /// Refused: the device would have none, and nobody could write to it.
    case agreement
}

/// Takes prekeys away that a device has on the relay: nobody is given them any more, and the device uploads others.
package struct KeyRevoke: ControlOperation {
    package static let name = ControlOperationName.keyRevoke
    package var device: DeviceID
    /// All when absent.
    package var kind: RevocableKeys?
    package var dryRun: Bool?
    /// For the audit log.
    package var reason: String?
    package init(device: DeviceID, kind: RevocableKeys? = nil, dryRun: Bool? = nil, reason: String? = nil) {
        self.device = device
        self.kind = kind
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable, Equatable {
        package var device: DeviceID
        package var user: String?
        package var dryRun: Bool
        /// The device had one, which is gone.
        package var signedPrekey: Bool
        package var lastResortPrekey: Bool
        package var oneTimePrekeys: Int
        package init(device: DeviceID, user: String?, dryRun: Bool, signedPrekey: Bool, lastResortPrekey: Bool, oneTimePrekeys: Int) {
            self.device = device
            self.user = user
            self.dryRun = dryRun
            self.signedPrekey = signedPrekey
            self.lastResortPrekey = lastResortPrekey
            self.oneTimePrekeys = oneTimePrekeys
        }
    }
}

/// Ends the grace of keys that a device has replaced: what is sealed for them is refused from now on.
package struct KeyExpire: ControlOperation {
    package static let name = ControlOperationName.keyExpire
    package var device: DeviceID
    /// Replaced prekeys, too, not only agreement keys.
    package var all: Bool?
    package var dryRun: Bool?
    /// For the audit log.
    package var reason: String?
    package init(device: DeviceID, all: Bool? = nil, dryRun: Bool? = nil, reason: String? = nil) {
        self.device = device
        self.all = all
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable, Equatable {
        package var device: DeviceID
        package var user: String?
        package var dryRun: Bool
        /// Keys whose grace ended.
        package var expired: Int
        package init(device: DeviceID, user: String?, dryRun: Bool, expired: Int) {
            self.device = device
            self.user = user
            self.dryRun = dryRun
            self.expired = expired
        }
    }
}
