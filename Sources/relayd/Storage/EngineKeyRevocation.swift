import RelayModel
import RelaySQLite

/// Takes prekeys away that a device has on the relay. The agreement key stays: without one nobody could write to the device.
package struct RevokeKeys: Codable, Sendable {
    package enum Kind: String, Codable, Sendable, CaseIterable { case signed, lastResort, oneTime }
    package var device: DeviceID
    package var kinds: [Kind]
    package init(device: DeviceID, kinds: [Kind]) {
        self.device = device
        self.kinds = kinds
    }
}

/// Ends the grace of keys that a device has replaced.
package struct ExpireKeys: Codable, Sendable {
    package var device: DeviceID
    /// Replaced prekeys, too, not only agreement keys.
    package var prekeys: Bool
    package init(device: DeviceID, prekeys: Bool) {
        self.device = device
        self.prekeys = prekeys
    }
}

/// What ``Command/revokeKeys(_:)`` took away.
package struct KeysRevoked: Sendable {
    package var signed = false
    package var lastResort = false
    package var oneTime = 0
    /// Everybody who gets bundles of the device hears of the bundle without the key, and its user's devices of everything.
    package var change: KeyChange
}

// What operators do about keys.
extension SQLiteEngine {
    func revokeKeys(_ command: RevokeKeys, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device)
        let now = stamp.time
        let signed = try command.kinds.contains(.signed) && currentKey(.signedPrekey, of: device.id) != nil
        let lastResort = try command.kinds.contains(.lastResort) && currentKey(.lastResortPrekey, of: device.id) != nil
        let oneTime = command.kinds.contains(.oneTime) ? try countOneTime(of: device.id) : 0
        guard signed || lastResort || oneTime > 0 else { throw Rejection.keysUnknown }

        var kinds: [KeyChange.Kind] = []
        // The row stays until the next upload, so that nothing of this number comes back.
        for (isMeant, kind, change) in [
            (signed, StoredKeyKind.signedPrekey, KeyChange.Kind.signedPrekey), (lastResort, .lastResortPrekey, .lastResortPrekey),
        ] where isMeant {
            kinds.append(change)
            try keyStatements.endCurrent.run {
                $0.bind(1, device.id.rawValue)
                $0.bind(2, kind.rawValue)
                $0.bind(3, now.milliseconds)
            }
        }
        if oneTime > 0 {
            kinds.append(.oneTimePrekeys)
            try keyStatements.deleteOneTimes.run { $0.bind(1, device.id.rawValue) }
        }
        var change = try keyChange(of: device.id, device.user, kinds, formerUntil: nil, stamp)
        change.tellsDevice = true
        // That there are no one-time prekeys is for the user's own devices to mend.
        if kinds == [.oneTimePrekeys] { change.audience = [device.user.id] }
        return .keysRevoked(KeysRevoked(signed: signed, lastResort: lastResort, oneTime: oneTime, change: change))
    }

    func expireKeys(_ command: ExpireKeys, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device)
        let now = stamp.time
        let count = keyStatements.countFormer
        defer { count.reset() }
        count.bind(1, device.id.rawValue)
        count.bind(2, now.milliseconds)
        count.bind(3, command.prekeys ? 1 : 0)
        guard try count.step(), count.integer(0) > 0 else { throw Rejection.keysUnknown }
        let found = Int(count.integer(0))
        try keyStatements.endFormer.run {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, now.milliseconds)
            $0.bind(3, command.prekeys ? 1 : 0)
        }
        return .keysExpired(found)
    }

    /// Of the keys of a kind that the store still has.
    func highestKeyID(_ kind: StoredKeyKind, of device: DeviceID) throws(SQLiteError) -> UInt64 {
        let find = keyStatements.highestID
        defer { find.reset() }
        find.bind(1, device.rawValue)
        find.bind(2, kind.rawValue)
        return try find.step() ? find.unsigned(0) : 0
    }
}
