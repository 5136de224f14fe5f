import FoundationEssentials
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayWire

/// What one device of a user gives another: read out on the old one, stored on the new one.
extension ClientState {
    // MARK: Keys of messages from before this device's time

    func hasGivenKey(_ chat: ChatID, _ seq: UInt64) throws -> Bool { try givenKey(chat, seq) != nil }

    private func givenKey(_ chat: ChatID, _ seq: UInt64) throws -> [UInt8]? {
        try rows(
            "SELECT key FROM given_keys WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { $0.bytes(0) }.first
    }

    /// The key moves into the history with its message.
    func takeGivenKey(_ chat: ChatID, _ seq: UInt64) throws -> [UInt8]? {
        guard let key = try givenKey(chat, seq) else { return nil }
        try dropGivenKey(chat, seq)
        return key
    }

    func dropGivenKey(_ chat: ChatID, _ seq: UInt64) throws {
        try run("DELETE FROM given_keys WHERE chat_id = ? AND chat_seq = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    func dropGivenKeys() throws { try run("DELETE FROM given_keys") }

    // MARK: A device that is being linked

    /// Whose device this will be, from the moment on that the old device said so.
    func expectedUser() throws -> UserID? {
        try rows("SELECT user_id FROM account WHERE one = 1 AND user_id IS NOT NULL AND device_id IS NULL") { UserID($0.unsigned(0)) }.first
    }

    func expect(_ user: UserID) throws {
        try run("UPDATE account SET user_id = ? WHERE one = 1 AND device_id IS NULL") { $0.bind(1, user.rawValue) }
    }

    /// A device whose keys came from itself, not from the relay. One that is known stays as it is.
    func pin(_ device: KnownDevice) throws {
        try run("INSERT OR IGNORE INTO devices (id, user_id, name, identity_key, agreement_key, active) VALUES (?, ?, ?, ?, ?, ?)") {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, device.user.rawValue)
            $0.bind(3, device.name)
            $0.bind(4, device.identityKey)
            $0.bind(5, device.agreementKey)
            $0.bind(6, device.active ? 1 : 0)
        }
    }

    // MARK: Reading out

    func linkSummary(history: Bool) throws -> Relay_Client_V1_LinkSummary {
        var summary = Relay_Client_V1_LinkSummary()
        summary.people = UInt32(clamping: try count("SELECT count(*) FROM users"))
        summary.chats = UInt32(clamping: try count("SELECT count(*) FROM chats WHERE kind <> 2"))
        summary.history = history
        if history { summary.keys = UInt32(clamping: try count("SELECT count(*) FROM history WHERE \(ClientState.givesKey)")) }
        return summary
    }

    /// Not those of what the person does not see.
    private static let givesKey = "key IS NOT NULL AND hidden = 0"

    /// Messages whose keys this device did not keep: another one will not be able to read them.
    func messagesWithoutKey() throws -> Int {
        try count("SELECT count(*) FROM history WHERE kind = 0 AND hidden = 0 AND text IS NOT NULL AND key IS NULL")
    }

    private func count(_ sql: String) throws -> Int { try rows(sql) { Int($0.integer(0)) }.first ?? 0 }

    func linkedPeople(after user: UInt64, limit: Int) throws -> [Relay_Client_V1_LinkedPerson] {
        try rows(
            """
            SELECT u.id, u.name, u.display_name, v.at, v.keys FROM users u LEFT JOIN verified v ON v.user_id = u.id
            WHERE u.id > ? ORDER BY u.id LIMIT ?
            """,
            {
                $0.bind(1, user)
                $0.bind(2, limit)
            }
        ) { row in
            var person = Relay_Client_V1_LinkedPerson()
            person.userID = row.unsigned(0)
            person.name = row.text(1) ?? ""
            person.displayName = row.text(2) ?? ""
            person.verifiedAtMs = row.isNull(3) ? 0 : row.integer(3)
            person.verifiedKeys = row.isNull(4) ? Data() : Data(row.bytes(4))
            return person
        }.map { person in
            var person = person
            let devices = try devices(of: UserID(person.userID))
            // Former ones check what they sent before; of those the newest ones.
            let kept = devices.filter(\.active) + devices.filter { !$0.active }.suffix(Limits.clientFormerDevicesGiven)
            person.devices = kept.map { device in
                var pinned = Relay_Client_V1_PinnedDevice()
                pinned.deviceID = device.id.rawValue
                pinned.name = device.name
                pinned.identityKey = Data(device.identityKey)
                pinned.agreementKey = Data(device.agreementKey)
                pinned.active = device.active
                return pinned
            }
            return person
        }
    }

    func linkedChats(after chat: UInt64, limit: Int, history: Bool) throws -> [Relay_Client_V1_LinkedChat] {
        let group = Int64(ChatKind.group.rawValue)
        return try rows(
            """
            SELECT c.id, c.kind, c.title, c.members_seq, c.joined_seq, c.left_seq, ifnull(r.seq, 0),
                ifnull((SELECT max(chat_seq) FROM history h WHERE h.chat_id = c.id), 0)
            FROM chats c LEFT JOIN reads r ON r.chat_id = c.id WHERE c.id > ? AND c.kind <> 2 ORDER BY c.id LIMIT ?
            """,
            {
                $0.bind(1, chat)
                $0.bind(2, limit)
            }
        ) { row in
            var chat = Relay_Client_V1_LinkedChat()
            chat.chatID = row.unsigned(0)
            chat.group = row.integer(1) == group
            chat.title = row.text(2) ?? ""
            chat.membersSeq = row.unsigned(3)
            chat.joinedSeq = row.unsigned(4)
            chat.leftSeq = row.unsigned(5)
            chat.readSeq = row.unsigned(6)
            chat.lastSeq = history ? row.unsigned(7) : 0
            return chat
        }.map { chat in
            var chat = chat
            chat.members = try rows(
                "SELECT user_id, role, joined_seq FROM members WHERE chat_id = ? ORDER BY user_id", { $0.bind(1, chat.chatID) }
            ) { row in
                var member = Relay_Client_V1_LinkedMember()
                member.userID = row.unsigned(0)
                member.role = chat.group ? UInt32(clamping: row.integer(1)) : 0
                member.joinedSeq = row.unsigned(2)
                return member
            }
            return chat
        }
    }

    func linkedKeys(after chat: UInt64, _ seq: UInt64, limit: Int) throws -> [Relay_Client_V1_ChatKeys] {
        var found: [Relay_Client_V1_ChatKeys] = []
        for (chat, seq, key) in try rows(
            """
            SELECT chat_id, chat_seq, key FROM history WHERE (chat_id, chat_seq) > (?, ?) AND \(ClientState.givesKey)
            ORDER BY chat_id, chat_seq LIMIT ?
            """,
            {
                $0.bind(1, chat)
                $0.bind(2, seq)
                $0.bind(3, limit)
            }, { ($0.unsigned(0), $0.unsigned(1), $0.bytes(2)) })
        where key.count == EnvelopeV1.contentKeyBytes {
            if found.last?.chatID != chat {
                found.append(Relay_Client_V1_ChatKeys())
                found[found.count - 1].chatID = chat
            }
            found[found.count - 1].chatSeqs.append(seq)
            found[found.count - 1].keys.append(contentsOf: key)
        }
        return found
    }

    // MARK: Storing

    /// Stores a part; nothing is fetched for it before ``finishLinking(_:)``.
    func store(_ part: Relay_Client_V1_LinkPart) throws {
        for person in part.people {
            try run("INSERT OR REPLACE INTO users (id, name, display_name) VALUES (?, ?, ?)") {
                $0.bind(1, person.userID)
                $0.bind(2, person.name)
                $0.bind(3, person.displayName)
            }
            for device in person.devices {
                let given = KnownDevice(
                    id: DeviceID(device.deviceID), user: UserID(person.userID), name: device.name, identityKey: Array(device.identityKey),
                    agreementKey: Array(device.agreementKey), active: device.active)
                if let known = try self.device(given.id) {
                    // The two devices of the link know one another from itself.
                    guard known.identityKey == given.identityKey, known.user == given.user else {
                        throw ClientError.linkBroken("a device is given with another identity key than it has")
                    }
                    try run("UPDATE devices SET name = ?2, agreement_key = ?3, active = ?4 WHERE id = ?1") {
                        $0.bind(1, given.id.rawValue)
                        $0.bind(2, given.name)
                        $0.bind(3, given.agreementKey)
                        $0.bind(4, given.active ? 1 : 0)
                    }
                }
                try pin(given)
            }
            guard person.verifiedAtMs > 0 else { continue }
            try run("INSERT OR REPLACE INTO verified (user_id, keys, at) VALUES (?, ?, ?)") {
                $0.bind(1, person.userID)
                $0.bind(2, Array(person.verifiedKeys))
                $0.bind(3, person.verifiedAtMs)
            }
        }
        for chat in part.chats {
            try run(
                """
                INSERT OR REPLACE INTO chats (id, kind, title, members_seq, joined_seq, left_seq) VALUES (?, ?, ?, ?, ?, ?)
                """
            ) {
                $0.bind(1, chat.chatID)
                $0.bind(2, Int64((chat.group ? ChatKind.group : .direct).rawValue))
                $0.bind(3, chat.title.isEmpty ? nil : chat.title)
                $0.bind(4, chat.membersSeq)
                $0.bind(5, chat.joinedSeq)
                $0.bind(6, chat.leftSeq)
            }
            for member in chat.members {
                try run("INSERT OR REPLACE INTO members (chat_id, user_id, role, joined_seq) VALUES (?, ?, ?, ?)") {
                    $0.bind(1, chat.chatID)
                    $0.bind(2, member.userID)
                    $0.bind(3, chat.group ? Int64(member.role) : 1)
                    $0.bind(4, member.joinedSeq)
                }
            }
            if chat.readSeq > 0 { try storeRead(ChatID(chat.chatID), chat.readSeq) }
        }
        for keys in part.keys {
            let bytes = Array(keys.keys)
            guard bytes.count == keys.chatSeqs.count * EnvelopeV1.contentKeyBytes else { throw ClientError.linkBroken("keys without places") }
            for (index, seq) in keys.chatSeqs.enumerated() {
                let start = index * EnvelopeV1.contentKeyBytes
                try run("INSERT OR REPLACE INTO given_keys (chat_id, chat_seq, key) VALUES (?, ?, ?)") {
                    $0.bind(1, keys.chatID)
                    $0.bind(2, seq)
                    $0.bind(3, Array(bytes[start..<start + EnvelopeV1.contentKeyBytes]))
                }
            }
        }
    }

    /// All parts are here: what these chats hold up to these places is fetched when the device connects.
    func finishLinking(_ chats: [ChatID: UInt64]) throws {
        for (chat, seq) in chats { try announce(chat, seq) }
    }
}
