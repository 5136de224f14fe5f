import RelayModel
import RelaySQLite

// What an erasure would take away and leave, and which ones there are.
extension Reader {
    /// Erasures whose grace goes on or that are under way, the next one first.
    ///
    /// - Parameter user: only this one's.
    package func erasures(of user: UserID? = nil, limit: Int) throws -> [ErasureRow] {
        try rows(
            """
            SELECT e.user_id, u.name, e.asked_ms, e.due_ms, e.began FROM erasures e JOIN users u USING (user_id)
            WHERE ?1 IS NULL OR e.user_id = ?1 ORDER BY e.due_ms, e.user_id LIMIT ?2
            """,
            bind: {
                if let user { $0.bind(1, user.rawValue) } else { $0.bindNull(1) }
                $0.bind(2, limit)
            }
        ) { row in
            ErasureRow(
                user: UserID(row.unsigned(0)), name: row.text(1).map { UserName(checked: $0) }, asked: Timestamp(milliseconds: row.integer(2)),
                due: Timestamp(milliseconds: row.integer(3)), hasBegun: row.integer(4) != 0)
        }
    }

    /// What an erasure that is under way has taken away so far.
    package func erasedRows(of user: UserID) throws -> [ErasedPart: Int] {
        let found: [(ErasedPart, Int)] = try rows(
            "SELECT part, rows FROM erased_rows WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }
        ) { row in ErasedPart(rawValue: row.text(0) ?? "").map { ($0, Int(row.integer(1))) } }
        return Dictionary(found, uniquingKeysWith: +)
    }

    // MARK: The fingerprint

    /// Who the user is and what hangs on them, as one number that is another one when any of it changed: profile, suspension, devices, invites, contacts, chats
    /// and roles, and the time of grace. Messages that come and go do not change it: an operator could never be as fast.
    package func erasureFingerprint(of user: UserID, grace: Duration) throws -> UInt64 {
        try snapshot { try erasureFingerprint(of: user, grace: grace.milliseconds) }
    }

    /// The same inside of a transaction.
    func erasureFingerprint(of user: UserID, grace milliseconds: Int64) throws -> UInt64 {
        var hash = FNV()
        hash.add(user.rawValue)
        hash.add(UInt64(bitPattern: milliseconds))
        for sql in [
            "SELECT name, display_name, avatar, suspended, no_limits FROM users WHERE user_id = ?",
            "SELECT device_id, revoked, name FROM devices WHERE user_id = ? ORDER BY device_id",
            "SELECT invite_id, state FROM invites WHERE user_id = ? ORDER BY invite_id",
            "SELECT peer_id, relation, blocks, is_blocked, category FROM contacts WHERE user_id = ? ORDER BY peer_id",
            "SELECT chat_id, joined_seq, left_seq, role FROM members WHERE user_id = ? ORDER BY chat_id, joined_seq",
        ] {
            let statement = try statement(sql)
            defer { statement.reset() }
            statement.bind(1, user.rawValue)
            while try statement.step() {
                for column in 0..<statement.columnCount { hash.add(statement.text(column)) }
            }
            hash.add("")
        }
        return hash.value
    }

    // MARK: Counts

    /// Of a user, by the parts that a few statements count; in `erased_rows` terms what the first step takes away. The numbers are one
    /// user's and bounded by their limits.
    static let erasureCounts: [(ErasedPart, String)] = [
        (.invites, "SELECT count(*) FROM invites WHERE user_id = ?"),
        (.prekeys, "SELECT count(*) FROM prekeys WHERE device_id IN (SELECT device_id FROM devices WHERE user_id = ?)"),
        (.oneTimePrekeys, "SELECT count(*) FROM one_time_prekeys WHERE device_id IN (SELECT device_id FROM devices WHERE user_id = ?)"),
        (.keyProgress, "SELECT count(*) FROM key_progress WHERE device_id IN (SELECT device_id FROM devices WHERE user_id = ?)"),
        (.alerts, "SELECT count(*) FROM alerts WHERE user_id = ?1 OR device_id IN (SELECT device_id FROM devices WHERE user_id = ?1)"),
        (.progress, "SELECT count(*) FROM progress WHERE device_id IN (SELECT device_id FROM devices WHERE user_id = ?)"),
    ]

    /// Everything but chats and what is in them, and the audit log: see ``erasureChats(of:after:limit:rows:)`` and
    /// ``erasureAudit(of:after:limit:)``.
    package func erasureAccount(of user: UserID) throws -> [ErasedPart: Int] {
        func count(_ sql: String) throws -> Int { try rows(sql, bind: { $0.bind(1, user.rawValue) }) { Int($0.integer(0)) }.first ?? 0 }
        return try snapshot {
            var found: [ErasedPart: Int] = [.users: try count("SELECT count(*) FROM users WHERE user_id = ? AND removed = 0")]
            for (part, sql) in Reader.erasureCounts { found[part] = try count(sql) }
            found[.devices] = try count("SELECT count(*) FROM devices WHERE user_id = ?")
            found[.hidden] = try count("SELECT count(*) FROM hidden WHERE user_id = ?")
            found[.contacts] = try count(
                """
                SELECT count(*) + (SELECT count(*) FROM contacts m JOIN contacts o ON o.user_id = m.peer_id AND o.peer_id = m.user_id WHERE m.user_id = ?1)
                FROM contacts WHERE user_id = ?1
                """)
            return found
        }
    }

    /// What an erasure means for the chats of a user, a page of stays and of their messages.
    ///
    /// - Parameters:
    ///   - place: `next` of the page before: a chat, and the sequence up to which it was looked at.
    ///   - limit: looks at no more messages than this.
    /// - Returns: `next` is nil at the end.
    package func erasureChats(of user: UserID, after place: ChatPosition?, limit: Int) throws -> (counts: ErasureCounts, next: ChatPosition?) {
        try snapshot {
            var counts = ErasureCounts()
            guard let stay = try erasureStay(of: user, after: place) else { return (counts, nil) }
            let chat = stay.chat
            func count(_ sql: String) throws -> Int { try rows(sql, bind: { $0.bind(1, chat.rawValue) }) { Int($0.integer(0)) }.first ?? 0 }
            let isFirst = place.map { $0.chat != chat } ?? true
            let others =
                try rows(
                    """
                    SELECT EXISTS (SELECT 1 FROM members o JOIN users u USING (user_id) WHERE o.chat_id = ?1 AND o.user_id != ?2 AND u.removed = 0), kind
                    FROM chats WHERE chat_id = ?1
                    """,
                    bind: {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, user.rawValue)
                    }
                ) { (exist: $0.integer(0) != 0, isGroup: $0.integer(1) == Int64(ChatKind.group.rawValue)) }.first ?? (exist: false, isGroup: false)
            guard others.exist else {
                // All of it goes, whatever the user's stay was.
                counts.gone = [
                    .chats: 1, .members: try count("SELECT count(*) FROM members WHERE chat_id = ?"),
                    .messages: try count("SELECT count(*) FROM messages WHERE chat_id = ?"),
                    .receipts: try count("SELECT count(*) FROM receipts WHERE chat_id = ?"),
                ]
                // The user's own marks of hidden messages are counted with the user.
                counts.gone[.hidden] = try rows(
                    """
                    SELECT count(*) FROM hidden WHERE chat_id = ?1 AND user_id IN (SELECT user_id FROM members WHERE chat_id = ?1) AND user_id != ?2
                    """,
                    bind: {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, user.rawValue)
                    }
                ) { Int($0.integer(0)) }.first
                return (counts, ChatPosition(chat: chat, seq: Reader.endOfChat))
            }
            if isFirst {
                let own =
                    try rows(
                        """
                        SELECT (SELECT count(*) FROM members WHERE chat_id = ?1 AND user_id = ?2),
                            (SELECT count(*) FROM receipts WHERE chat_id = ?1 AND user_id = ?2)
                        """,
                        bind: {
                            $0.bind(1, chat.rawValue)
                            $0.bind(2, user.rawValue)
                        }
                    ) { (members: Int($0.integer(0)), receipts: Int($0.integer(1))) }.first ?? (members: 0, receipts: 0)
                counts.gone[.receipts] = own.receipts
                if others.isGroup {
                    counts.gone[.members] = own.members
                } else {
                    counts.stays[.members] = own.members
                    counts.stays[.chats] = 1
                }
            }
            let seen = try erasureMessages(in: stay, of: user, limit: limit)
            counts.gone[.wrappedKeys] = seen.keys
            counts.stays[.messages] = seen.naming
            return (counts, ChatPosition(chat: chat, seq: seen.last))
        }
    }

    static let endOfChat = UInt64(Int64.max)

    /// The next stay of a user with messages behind a place.
    func erasureStay(of user: UserID, after place: ChatPosition?) throws -> (chat: ChatID, first: UInt64, last: UInt64)? {
        try rows(
            """
            SELECT chat_id, joined_seq, coalesce(left_seq, ?4) FROM members
            WHERE user_id = ?1 AND (chat_id > ?2 OR (chat_id = ?2 AND coalesce(left_seq, ?4) > ?3)) ORDER BY chat_id, joined_seq LIMIT 1
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, place?.chat.rawValue ?? 0)
                $0.bind(3, place?.seq ?? 0)
                $0.bind(4, Reader.endOfChat)
            }
        ) { row in
            let chat = ChatID(row.unsigned(0))
            let behind = place.map { $0.chat == chat ? $0.seq : 0 } ?? 0
            return (chat: chat, first: max(row.unsigned(1), behind + 1), last: row.unsigned(2))
        }.first
    }

    /// Looks at messages of a stay: how many have keys for the user, and how many name the user in what stays: as their sender, or in a change of
    /// the group.
    private func erasureMessages(
        in stay: (chat: ChatID, first: UInt64, last: UInt64), of user: UserID, limit: Int
    ) throws -> (keys: Int, naming: Int, last: UInt64) {
        var found = (keys: 0, naming: 0, last: stay.last)
        let scan = try statement(
            """
            SELECT seq, user_id, kind, extra, keys FROM messages WHERE chat_id = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4
            """)
        defer { scan.reset() }
        scan.bind(1, stay.chat.rawValue)
        scan.bind(2, stay.first)
        scan.bind(3, stay.last)
        scan.bind(4, limit)
        var seen = 0
        while try scan.step() {
            seen += 1
            let seq = scan.unsigned(0)
            var names = scan.unsigned(1) == user.rawValue
            if !names, case .group(let event) = ExtraBytes.read(scan.integer(2), Reader.buffer(scan, 3)) { names = event.users.contains(user) }
            if names { found.naming += 1 }
            let inRow = scan.withBytes(4) { MemberKeyList.hasKeys(of: user, in: $0) }
            if try inRow || erasureBlock(of: user, in: stay.chat, seq) != nil { found.keys += 1 }
            if seen == limit { found.last = seq }
        }
        return found
    }

    /// The row of `message_keys` in which a user's keys of a message stand.
    private func erasureBlock(of user: UserID, in chat: ChatID, _ seq: UInt64) throws -> UInt64? {
        try rows(
            "SELECT first_user_id, keys FROM message_keys WHERE chat_id = ? AND seq = ? AND first_user_id <= ? ORDER BY first_user_id DESC LIMIT 1",
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
                $0.bind(3, user.rawValue)
            }
        ) { row in row.withBytes(1) { MemberKeyList.hasKeys(of: user, in: $0) } ? row.unsigned(0) : nil }.first
    }

    /// How many entries of the audit log name a user, or have their device as their subject: a page of them.
    ///
    /// - Parameter limit: looks at no more entries than this.
    /// - Returns: `next` is nil at the end.
    package func erasureAudit(of user: UserRow, after stamp: UInt64, limit: Int) throws -> (count: Int, next: UInt64?) {
        var count = 0
        var seen: [UInt64] = []
        let devices = Set(
            try rows("SELECT device_id FROM devices WHERE user_id = ?", bind: { $0.bind(1, user.id.rawValue) }) {
                DeviceID($0.unsigned(0)).description
            })
        let scan = try statement("SELECT stamp, operation, subject, reason FROM audit WHERE stamp > ? ORDER BY stamp LIMIT ?")
        defer { scan.reset() }
        scan.bind(1, max(stamp, user.id.rawValue - 1))
        scan.bind(2, limit)
        while try scan.step() {
            seen.append(scan.unsigned(0))
            let entry = AuditText(
                operation: scan.text(1) ?? "", subject: scan.text(2) ?? "", reason: scan.text(3))
            if entry.without(user.name.text, displayName: user.displayName, user.id, devices: devices) != nil { count += 1 }
        }
        return (count, seen.count == limit ? seen.last : nil)
    }
}

/// What an entry of the audit log says about people.
struct AuditText: Equatable {
    var operation: String
    var subject: String
    var reason: String?

    /// The entry without a user's name and, where it is about them, without what operators wrote; nil when nothing has to go.
    ///
    /// - Parameter devices: the user's, in decimal digits.
    func without(_ name: String, displayName: String?, _ user: UserID, devices: Set<String>) -> AuditText? {
        var result = self
        let isDevices = operation.hasPrefix("device/") || operation.hasPrefix("key/")
        if let subject = isDevices ? nil : ErasedName.redact(subject: subject, name: name, user: user) {
            result.subject = subject
            // Why somebody is erased was written for this entry, and checked.
            if operation != AuditText.erasing { result.reason = nil }
        } else if isDevices, devices.contains(subject) {
            result.reason = nil
        }
        result.reason = result.reason.map { ErasedName.redact(text: $0, name: name, displayName: displayName, user: user) }
        return result == self ? nil : result
    }

    /// The operation by which an operator erases somebody.
    static let erasing = "user/erase/apply"
}

/// The hash of Fowler, Noll and Vo (FNV-1a, 64 bits): it finds changes, and keeps nobody out who makes them on purpose.
private struct FNV {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    private mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    mutating func add(_ number: UInt64) { withUnsafeBytes(of: number.bigEndian) { for byte in $0 { add(byte) } } }

    mutating func add(_ text: String?) {
        add(UInt64(text.map { $0.utf8.count + 1 } ?? 0))
        for byte in (text ?? "").utf8 { add(byte) }
    }
}
