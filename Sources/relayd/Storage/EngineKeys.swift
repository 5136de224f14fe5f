import RelayModel
import RelaySQLite

// Prekeys and changed keys. Grace periods begin and end by the commands' stamps.
extension SQLiteEngine {
    func setKeys(_ command: SetKeys, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(command.device, of: command.user)
        try checkNotSuspended(device)
        let now = stamp.time
        let before = try bundle(of: device.id)
        var kinds: [KeyChange.Kind] = []
        var agreement = command.agreement
        if agreement?.key == before.keys.agreementKey { agreement = nil }
        if agreement != nil { kinds.append(.agreementKey) }
        let signed = try isNew(command.signedPrekey, .signedPrekey, of: device.id) ? command.signedPrekey : nil
        if signed != nil { kinds.append(.signedPrekey) }
        let lastResort = try isNew(command.lastResortPrekey, .lastResortPrekey, of: device.id) ? command.lastResortPrekey : nil
        if lastResort != nil { kinds.append(.lastResortPrekey) }
        var progress = try keyProgress(of: device.id)
        let oneTime = try newOnes(command.oneTimePrekeys, of: device.id, highest: progress.highestOneTimeID)
        if !kinds.isEmpty {
            if now.milliseconds - progress.windowMilliseconds >= Limits.keyChangeWindow.milliseconds {
                progress.windowMilliseconds = now.milliseconds
                progress.changes = 0
            }
            guard progress.changes < Limits.keyChangesInWindow else {
                throw Rejection.keyChangesTooOften(until: Timestamp(milliseconds: progress.windowMilliseconds) + Limits.keyChangeWindow)
            }
            progress.changes += 1
        }

        // Nothing is rejected any more.
        let expires = now + .milliseconds(command.graceMilliseconds)
        if let agreement { try replaceAgreement(of: device, before, with: agreement, expires: expires, at: now) }
        if let signed { try replace(.signedPrekey, of: device.id, with: signed, expires: expires, at: now) }
        if let lastResort { try replace(.lastResortPrekey, of: device.id, with: lastResort, expires: expires, at: now) }
        for prekey in oneTime {
            try keyStatements.insertOneTime.run {
                $0.bind(1, device.id.rawValue)
                $0.bind(2, prekey.id)
                $0.bind(3, prekey.key)
            }
        }
        progress.highestOneTimeID = max(progress.highestOneTimeID, oneTime.last?.id ?? 0)
        if !kinds.isEmpty || !oneTime.isEmpty { try write(progress, of: device.id) }
        guard !kinds.isEmpty else { return .keysSet(KeysSet(state: try keysState(of: device.id))) }
        try forgetFormer(of: device.id, at: now)
        let formerUntil = command.graceMilliseconds > 0 ? expires : nil
        return .keysSet(
            KeysSet(
                state: try keysState(of: device.id), change: try keyChange(of: device.id, device.user, kinds, formerUntil: formerUntil, stamp),
                flood: progress.changes == Limits.keyChangesBeforeAlert + 1 ? progress.changes : nil))
    }

    /// Hands out, to one device, the keys for a conversation with each device of a contact. A one-time prekey is deleted with the transaction in
    /// which it is handed out, so that nobody else ever gets it; one whose answer is lost is lost.
    func takePrekeys(_ command: TakePrekeys) throws -> Outcome {
        let device = try activeDevice(command.device, of: command.user)
        try checkNotSuspended(device)
        let target = try presentUser(command.target)
        if target.id != device.user.id {
            guard try passes(device.user, target) else { throw try refusal(of: device.user.id, to: target.id) }
        }
        var taken = TakenPrekeys(user: target.id, bundles: [], low: [])
        for id in target.devices where id != device.id {
            var bundle = try bundle(of: id)
            bundle.signedPrekey = try currentKey(.signedPrekey, of: id)
            if let prekey = try takeOneTime(of: id) {
                bundle.oneTimePrekey = prekey
                let left = try countOneTime(of: id)
                if left == Limits.lowPrekeys - 1 { taken.low.append((id, left)) }
            } else {
                bundle.lastResortPrekey = try currentKey(.lastResortPrekey, of: id)
            }
            taken.bundles.append(bundle)
        }
        return .prekeys(taken)
    }

    // MARK: Who is told

    /// Notes that a device's keys changed, so that devices that are away find out, and lists who is told at once.
    func keyChange(
        of device: DeviceID, _ user: UserState, _ kinds: [KeyChange.Kind], formerUntil: Timestamp?, _ stamp: Stamp
    ) throws(SQLiteError) -> KeyChange {
        // One row, not one for each contact: those are on a page each, and the readers can put the two together.
        try keyStatements.writeKeysVersion.run {
            $0.bind(1, user.id.rawValue)
            $0.bind(2, stamp.rawValue)
        }
        var bundle = try bundle(of: device)
        bundle.signedPrekey = try currentKey(.signedPrekey, of: device)
        return KeyChange(
            user: user.id, bundle: bundle, kinds: kinds, formerUntil: formerUntil, version: stamp.rawValue, audience: try keyAudience(of: user.id))
    }

    private func keyAudience(of user: UserID) throws(SQLiteError) -> [UserID] {
        var audience: Set<UserID> = [user]
        let contacts = keyStatements.listAccepted
        defer { contacts.reset() }
        contacts.bind(1, user.rawValue)
        while try contacts.step() { audience.insert(UserID(contacts.unsigned(0))) }
        if contactPolicy.everyone {
            // Nobody asks there: who writes to each other has a chat, and often no contact.
            let chats = keyStatements.listPartners
            defer { chats.reset() }
            chats.bind(1, user.rawValue)
            chats.bind(2, Limits.keyChangeChats)
            while try chats.step() { audience.insert(UserID(chats.unsigned(0))) }
        }
        return audience.sorted()
    }

    // MARK: What sends ask

    /// Whether a key that was wrapped to this agreement key of a device is taken: the newest one, or one whose grace is not over.
    func isValid(agreementVersion version: UInt32, of device: DeviceID, current: UInt32, at now: Timestamp) throws(SQLiteError) -> Bool {
        if version == 0 || version == current { return true }
        guard version < current else { return false }
        let find = keyStatements.findFormer
        defer { find.reset() }
        find.bind(1, device.rawValue)
        find.bind(2, StoredKeyKind.agreement.rawValue)
        find.bind(3, UInt64(version))
        return try find.step() && find.integer(0) > now.milliseconds
    }

    // MARK: Rows

    func deletePrekeys(of device: DeviceID) throws(SQLiteError) {
        for statement in [keyStatements.deleteKeys, keyStatements.deleteOneTimes, keyStatements.deleteProgress] {
            try statement.run { $0.bind(1, device.rawValue) }
        }
    }

    /// Without prekeys.
    private func bundle(of device: DeviceID) throws(SQLiteError) -> DeviceBundle {
        let load = keyStatements.loadDevice
        defer { load.reset() }
        load.bind(1, device.rawValue)
        guard try load.step() else { preconditionFailure("a known device has no row") }
        return DeviceBundle(
            device: device, name: load.text(0) ?? "",
            keys: DeviceKeySet(identityKey: load.bytes(1), agreementKey: load.bytes(2), agreementSignature: load.bytes(3)),
            agreementVersion: UInt32(truncatingIfNeeded: load.unsigned(4)), revoked: load.integer(5) != 0,
            agreementSince: Timestamp(milliseconds: load.integer(6)))
    }

    func currentKey(_ kind: StoredKeyKind, of device: DeviceID) throws(SQLiteError) -> SignedKey? {
        let load = keyStatements.loadCurrent
        defer { load.reset() }
        load.bind(1, device.rawValue)
        load.bind(2, kind.rawValue)
        guard try load.step() else { return nil }
        return SignedKey(id: load.unsigned(0), key: load.bytes(1), signature: load.bytes(2))
    }

    /// False when there is none, and for the one that is in use: a repetition.
    private func isNew(_ prekey: SignedKey?, _ kind: StoredKeyKind, of device: DeviceID) throws -> Bool {
        guard let prekey else { return false }
        guard let current = try currentKey(kind, of: device) else {
            // One that an operator took away does not come back.
            let highest = try highestKeyID(kind, of: device)
            guard prekey.id > highest else { throw Rejection.prekeyIDUsed(highest: highest) }
            return true
        }
        guard prekey != current else { return false }
        guard prekey.id > current.id else { throw Rejection.prekeyIDUsed(highest: current.id) }
        return true
    }

    /// Those to be stored: all of them, or none when the request came before.
    private func newOnes(_ prekeys: [OneTimePrekey], of device: DeviceID, highest: UInt64) throws -> [OneTimePrekey] {
        guard let first = prekeys.first, let last = prekeys.last else { return [] }
        if last.id <= highest {
            // Some may be handed out already. What is there must be what is given.
            let find = keyStatements.findOneTime
            for prekey in prekeys {
                defer { find.reset() }
                find.bind(1, device.rawValue)
                find.bind(2, prekey.id)
                if try find.step(), find.bytes(0) != prekey.key { throw Rejection.prekeyIDUsed(highest: highest) }
            }
            return []
        }
        guard first.id > highest else { throw Rejection.prekeyIDUsed(highest: highest) }
        guard try countOneTime(of: device) + prekeys.count <= Limits.oneTimePrekeys else {
            throw Rejection.prekeyLimitReached(limit: Limits.oneTimePrekeys)
        }
        return prekeys
    }

    private func replaceAgreement(
        of device: DeviceState, _ before: DeviceBundle, with new: SignedKey, expires: Timestamp, at now: Timestamp
    ) throws(SQLiteError) {
        let former = SignedKey(id: UInt64(before.agreementVersion), key: before.keys.agreementKey, signature: before.keys.agreementSignature)
        try insert(former, .agreement, of: device.id, expires: expires, since: before.agreementSince)
        let version = before.agreementVersion &+ 1
        try keyStatements.writeAgreement.run {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, new.key)
            $0.bind(3, new.signature)
            $0.bind(4, UInt64(version))
            $0.bind(5, now.milliseconds)
        }
        device.user.setAgreementVersion(version, of: device.id)
    }

    private func replace(
        _ kind: StoredKeyKind, of device: DeviceID, with new: SignedKey, expires: Timestamp, at now: Timestamp
    ) throws(SQLiteError) {
        try keyStatements.endCurrent.run {
            $0.bind(1, device.rawValue)
            $0.bind(2, kind.rawValue)
            $0.bind(3, expires.milliseconds)
        }
        try insert(new, kind, of: device, expires: nil, since: now)
    }

    private func insert(_ key: SignedKey, _ kind: StoredKeyKind, of device: DeviceID, expires: Timestamp?, since: Timestamp) throws(SQLiteError) {
        try keyStatements.insertKey.run {
            $0.bind(1, device.rawValue)
            $0.bind(2, kind.rawValue)
            $0.bind(3, key.id)
            $0.bind(4, key.key)
            $0.bind(5, key.signature)
            if let expires { $0.bind(6, expires.milliseconds) } else { $0.bindNull(6) }
            $0.bind(7, since.milliseconds)
        }
    }

    /// Replaced keys whose grace is over, and the oldest ones of too many.
    private func forgetFormer(of device: DeviceID, at now: Timestamp) throws(SQLiteError) {
        try keyStatements.deleteExpired.run {
            $0.bind(1, device.rawValue)
            $0.bind(2, now.milliseconds)
        }
        for kind in [StoredKeyKind.agreement, .signedPrekey, .lastResortPrekey] {
            try keyStatements.deleteSurplus.run {
                $0.bind(1, device.rawValue)
                $0.bind(2, kind.rawValue)
                $0.bind(3, Limits.formerKeys)
            }
        }
    }

    private func takeOneTime(of device: DeviceID) throws(SQLiteError) -> OneTimePrekey? {
        let take = keyStatements.takeOneTime
        take.bind(1, device.rawValue)
        defer { take.reset() }
        guard try take.step() else { return nil }
        let taken = OneTimePrekey(id: take.unsigned(0), key: take.bytes(1))
        // To its end: a statement that is reset half-way has done what it did by luck.
        while try take.step() {}
        return taken
    }

    func countOneTime(of device: DeviceID) throws(SQLiteError) -> Int {
        let count = keyStatements.countOneTime
        defer { count.reset() }
        count.bind(1, device.rawValue)
        return try count.step() ? Int(count.integer(0)) : 0
    }

    private func keysState(of device: DeviceID) throws(SQLiteError) -> DeviceKeysState {
        let load = keyStatements.loadState
        defer { load.reset() }
        load.bind(1, device.rawValue)
        guard try load.step() else { preconditionFailure("a known device has no row") }
        return DeviceKeysState(load)
    }

    /// A row of `key_progress`.
    private struct KeyProgress {
        var highestOneTimeID: UInt64 = 0
        var changes = 0
        var windowMilliseconds: Int64 = 0
    }

    private func keyProgress(of device: DeviceID) throws(SQLiteError) -> KeyProgress {
        let load = keyStatements.loadProgress
        defer { load.reset() }
        load.bind(1, device.rawValue)
        guard try load.step() else { return KeyProgress() }
        return KeyProgress(highestOneTimeID: load.unsigned(0), changes: Int(load.integer(1)), windowMilliseconds: load.integer(2))
    }

    private func write(_ progress: KeyProgress, of device: DeviceID) throws(SQLiteError) {
        try keyStatements.writeProgress.run {
            $0.bind(1, device.rawValue)
            $0.bind(2, progress.highestOneTimeID)
            $0.bind(3, progress.changes)
            $0.bind(4, progress.windowMilliseconds)
        }
    }
}

extension DeviceKeysState {
    /// For the writer and the readers. The numbers of ``StoredKeyKind`` are in it.
    static let sql = """
        SELECT agreement_version,
            coalesce((SELECT key_id FROM prekeys p WHERE p.device_id = d.device_id AND kind = 1 AND expires_ms IS NULL), 0),
            coalesce((SELECT key_id FROM prekeys p WHERE p.device_id = d.device_id AND kind = 2 AND expires_ms IS NULL), 0),
            (SELECT count(*) FROM one_time_prekeys o WHERE o.device_id = d.device_id), coalesce(highest_one_time_id, 0)
        FROM devices d LEFT JOIN key_progress USING (device_id) WHERE d.device_id = ? AND revoked = 0
        """

    init(_ row: Statement) {
        self.init(
            agreementVersion: UInt32(truncatingIfNeeded: row.unsigned(0)), signedPrekey: row.unsigned(1), lastResortPrekey: row.unsigned(2),
            oneTimePrekeys: Int(row.integer(3)), highestOneTimeID: row.unsigned(4))
    }
}

/// The writer's statements about keys, prepared once.
struct KeyStatements {
    let loadDevice: Statement
    let loadCurrent: Statement
    let loadState: Statement
    let loadProgress: Statement
    let findFormer: Statement
    let highestID: Statement
    let countFormer: Statement
    let endFormer: Statement
    let findOneTime: Statement
    let countOneTime: Statement
    let listAccepted: Statement
    let listPartners: Statement
    let writeAgreement: Statement
    let writeKeysVersion: Statement
    let writeProgress: Statement
    let insertKey: Statement
    let insertOneTime: Statement
    let takeOneTime: Statement
    let endCurrent: Statement
    let deleteExpired: Statement
    let deleteSurplus: Statement
    let deleteKeys: Statement
    let deleteOneTimes: Statement
    let deleteProgress: Statement

    init(_ database: Database) throws(SQLiteError) {
        loadDevice = try database.prepare(
            "SELECT name, identity_key, agreement_key, agreement_signature, agreement_version, revoked, agreement_ms FROM devices WHERE device_id = ?"
        )
        loadCurrent = try database.prepare("SELECT key_id, key, signature FROM prekeys WHERE device_id = ? AND kind = ? AND expires_ms IS NULL")
        loadState = try database.prepare(DeviceKeysState.sql)
        loadProgress = try database.prepare("SELECT highest_one_time_id, changes, window_ms FROM key_progress WHERE device_id = ?")
        findFormer = try database.prepare(
            "SELECT expires_ms FROM prekeys WHERE device_id = ? AND kind = ? AND key_id = ? AND expires_ms IS NOT NULL")
        highestID = try database.prepare("SELECT coalesce(max(key_id), 0) FROM prekeys WHERE device_id = ? AND kind = ?")
        countFormer = try database.prepare("SELECT count(*) FROM prekeys WHERE device_id = ?1 AND expires_ms > ?2 AND (kind = 0 OR ?3)")
        endFormer = try database.prepare("UPDATE prekeys SET expires_ms = ?2 WHERE device_id = ?1 AND expires_ms > ?2 AND (kind = 0 OR ?3)")
        findOneTime = try database.prepare("SELECT key FROM one_time_prekeys WHERE device_id = ? AND key_id = ?")
        countOneTime = try database.prepare("SELECT count(*) FROM one_time_prekeys WHERE device_id = ?")
        // The number of ContactEdge.Relation: 5 contact.
        listAccepted = try database.prepare(
            "SELECT peer_id FROM contacts WHERE user_id = ? AND relation = 5 AND NOT blocks AND NOT is_blocked")
        listPartners = try database.prepare(
            """
            SELECT other.user_id FROM members mine JOIN chats USING (chat_id) JOIN members other USING (chat_id)
            WHERE mine.user_id = ?1 AND kind = 0 AND other.user_id != ?1 AND NOT EXISTS
                (SELECT 1 FROM contacts k WHERE k.user_id = ?1 AND k.peer_id = other.user_id AND (blocks OR is_blocked))
            ORDER BY mine.chat_id DESC LIMIT ?2
            """)
        writeAgreement = try database.prepare(
            "UPDATE devices SET agreement_key = ?2, agreement_signature = ?3, agreement_version = ?4, agreement_ms = ?5 WHERE device_id = ?1")
        writeKeysVersion = try database.prepare("UPDATE users SET keys_version = ?2 WHERE user_id = ?1")
        writeProgress = try database.prepare(
            """
            INSERT INTO key_progress (device_id, highest_one_time_id, changes, window_ms) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET highest_one_time_id = excluded.highest_one_time_id, changes = excluded.changes, window_ms = excluded.window_ms
            """)
        insertKey = try database.prepare(
            "INSERT INTO prekeys (device_id, kind, key_id, key, signature, expires_ms, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?)")
        insertOneTime = try database.prepare("INSERT INTO one_time_prekeys (device_id, key_id, key) VALUES (?, ?, ?)")
        takeOneTime = try database.prepare(
            """
            DELETE FROM one_time_prekeys
            WHERE device_id = ?1 AND key_id = (SELECT min(key_id) FROM one_time_prekeys WHERE device_id = ?1) RETURNING key_id, key
            """)
        endCurrent = try database.prepare("UPDATE prekeys SET expires_ms = ?3 WHERE device_id = ?1 AND kind = ?2 AND expires_ms IS NULL")
        deleteExpired = try database.prepare("DELETE FROM prekeys WHERE device_id = ? AND expires_ms <= ?")
        deleteSurplus = try database.prepare(
            """
            DELETE FROM prekeys WHERE device_id = ?1 AND kind = ?2 AND key_id <=
                (SELECT key_id FROM prekeys WHERE device_id = ?1 AND kind = ?2 AND expires_ms IS NOT NULL ORDER BY key_id DESC LIMIT 1 OFFSET ?3)
            """)
        deleteKeys = try database.prepare("DELETE FROM prekeys WHERE device_id = ?")
        deleteOneTimes = try database.prepare("DELETE FROM one_time_prekeys WHERE device_id = ?")
        deleteProgress = try database.prepare("DELETE FROM key_progress WHERE device_id = ?")
    }
}
