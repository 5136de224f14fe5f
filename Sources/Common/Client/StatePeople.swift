import RelayModel
import RelaySQLite

/// Users, their devices with pinned keys, and the chats they share.
extension ClientState {
    // MARK: People and their keys

    /// What the relay said about a user: all their active devices. The identity keys of devices known before stay as they are, and so does an
    /// agreement key when an older one is given: to go back to it would undo what its replacement was for.
    /// - Returns: devices whose keys are not taken, and why.
    @discardableResult
    func store(user: UserID, name: String, displayName: String, devices: [KnownDevice]) throws -> [DeviceID: KeyRefusal] {
        // A user who was removed has no name any more; what they wrote keeps the one they had.
        try run(
            """
            INSERT INTO users VALUES (?1, ?2, ?3)
            ON CONFLICT (id) DO UPDATE SET name = CASE ?2 WHEN '' THEN name ELSE ?2 END, display_name = CASE ?2 WHEN '' THEN display_name ELSE ?3 END
            """
        ) {
            $0.bind(1, user.rawValue)
            $0.bind(2, name)
            $0.bind(3, displayName)
        }
        try run("UPDATE devices SET active = 0 WHERE user_id = ?") { $0.bind(1, user.rawValue) }
        var refused: [DeviceID: KeyRefusal] = [:]
        for device in devices { refused[device.id] = try store(active: device) }
        return refused
    }

    /// Stores an active device, as far as its keys may be taken. The caller has checked its signature.
    /// - Returns: why its keys are not taken: with another identity nothing of it is, an older agreement key leaves the known one.
    func store(active device: KnownDevice) throws -> KeyRefusal? {
        var device = device
        var refusal: KeyRefusal?
        if let known = try self.device(device.id) {
            guard known.identityKey == device.identityKey, known.user == device.user else { return .identity }
            if device.agreementVersion < known.agreementVersion
                || device.agreementVersion == known.agreementVersion && device.agreementKey != known.agreementKey
            {
                (device.agreementKey, device.agreementVersion) = (known.agreementKey, known.agreementVersion)
                refusal = .older
            }
        }
        try run(
            """
            INSERT INTO devices (id, user_id, name, identity_key, agreement_key, active, agreement_version) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
            ON CONFLICT (id) DO UPDATE SET name = ?3, agreement_key = ?5, active = 1, agreement_version = ?6
            """
        ) {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, device.user.rawValue)
            $0.bind(3, device.name)
            $0.bind(4, device.identityKey)
            $0.bind(5, device.agreementKey)
            $0.bind(6, UInt64(device.agreementVersion))
        }
        return refusal
    }

    /// Nothing is sealed for it any more; its keys still serve for what it sent before.
    func deactivate(_ device: DeviceID) throws { try run("UPDATE devices SET active = 0 WHERE id = ?") { $0.bind(1, device.rawValue) } }

    /// A device that its user has no more; nothing is sealed for it. One that is known stays as it is.
    func storeFormer(_ device: KnownDevice) throws {
        try run("INSERT OR IGNORE INTO devices (id, user_id, name, identity_key, agreement_key, active) VALUES (?, ?, ?, ?, ?, 0)") {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, device.user.rawValue)
            $0.bind(3, device.name)
            $0.bind(4, device.identityKey)
            $0.bind(5, device.agreementKey)
        }
    }

    private static let deviceColumns = "SELECT id, user_id, name, identity_key, agreement_key, active, agreement_version FROM devices"

    private func knownDevice(_ row: Statement) -> KnownDevice {
        KnownDevice(
            id: DeviceID(row.unsigned(0)), user: UserID(row.unsigned(1)), name: row.text(2) ?? "", identityKey: row.bytes(3),
            agreementKey: row.bytes(4), active: row.integer(5) != 0, agreementVersion: UInt32(truncatingIfNeeded: row.unsigned(6)))
    }

    func device(_ id: DeviceID) throws -> KnownDevice? {
        try rows(ClientState.deviceColumns + " WHERE id = ?", { $0.bind(1, id.rawValue) }, knownDevice).first
    }

    package func devices(of user: UserID) throws(ClientError) -> [KnownDevice] {
        try storing { try rows(ClientState.deviceColumns + " WHERE user_id = ? ORDER BY id", { $0.bind(1, user.rawValue) }, knownDevice) }
    }

    func userName(_ user: UserID) throws -> String? {
        try rows("SELECT name FROM users WHERE id = ?", { $0.bind(1, user.rawValue) }) { $0.text(0) ?? "" }.first
    }

    func knowsUser(_ user: UserID) throws -> Bool {
        try !rows("SELECT 1 FROM users WHERE id = ?", { $0.bind(1, user.rawValue) }) { _ in true }.isEmpty
    }

    // MARK: Chats

    /// A direct chat: its members never change.
    func storeChat(_ chat: ChatID, members: [UserID]) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        for member in members {
            try run("INSERT OR IGNORE INTO members (chat_id, user_id) VALUES (?, ?)") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, member.rawValue)
            }
        }
    }

    func knowsChat(_ chat: ChatID) throws -> Bool {
        try !rows("SELECT 1 FROM members WHERE chat_id = ? LIMIT 1", { $0.bind(1, chat.rawValue) }) { _ in true }.isEmpty
    }

    /// The one-to-one chat with a user, once it is known: one that is not gone, the newest of these.
    package func chat(with name: String) throws(ClientError) -> ChatID? {
        try storing {
            try rows(
                """
                SELECT m.chat_id FROM users u JOIN members m ON m.user_id = u.id JOIN chats c ON c.id = m.chat_id
                WHERE u.name = ? AND u.id IS NOT (SELECT user_id FROM account) AND c.kind = 0 ORDER BY c.gone, m.chat_id DESC LIMIT 1
                """, { $0.bind(1, name) }
            ) { ChatID($0.unsigned(0)) }.first
        }
    }

    /// The chat in which a message for this name is sent; nil when it must be opened (again).
    func openChat(with name: String) throws -> ChatID? {
        guard let chat = try chat(with: name) else { return nil }
        let gone = try rows("SELECT gone FROM chats WHERE id = ?", { $0.bind(1, chat.rawValue) }) { $0.integer(0) != 0 }.first ?? false
        return gone ? nil : chat
    }

    func markGone(_ chat: ChatID) throws { try run("UPDATE chats SET gone = 1 WHERE id = ?") { $0.bind(1, chat.rawValue) } }

    /// The relay opened the chat for this name: messages go there, and to no other chat of somebody who has or had the name. Whoever was gone is back
    /// when the relay was set back, or their removal undone.
    func markOpened(_ chat: ChatID, for name: String) throws {
        try run(
            """
            UPDATE chats SET gone = id <> ?1 WHERE kind = 0 AND (id = ?1 OR id IN (SELECT m.chat_id FROM members m JOIN users u ON u.id = m.user_id
                WHERE u.name = ?2 AND u.id IS NOT (SELECT user_id FROM account)))
            """
        ) {
            $0.bind(1, chat.rawValue)
            $0.bind(2, name)
        }
    }

    /// The active devices of all members: whom a message is sealed for.
    func recipients(in chat: ChatID) throws -> [KnownDevice] {
        try rows(
            """
            SELECT d.id, d.user_id, d.name, d.identity_key, d.agreement_key, d.active, d.agreement_version FROM members m JOIN devices d ON d.user_id = m.user_id
            WHERE m.chat_id = ? AND d.active = 1 ORDER BY d.user_id, d.id
            """, { $0.bind(1, chat.rawValue) }, knownDevice)
    }
}
