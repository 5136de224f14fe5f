import NIOCore
import RelayModel
import RelaySQLite

/// Typed reads over one read-only connection. Confined to one thread at a time; every call sees one snapshot per statement.
package final class Reader {
    private let database: Database
    private var prepared: [String: Statement] = [:]

    init(_ database: Database) { self.database = database }

    /// Prepares once, binds, and maps the rows.
    private func rows<Row>(
        _ sql: String, bind: (Statement) -> Void = { _ in }, upTo limit: Int = .max, _ map: (Statement) throws -> Row?
    ) throws -> [Row] {
        let statement: Statement
        if let known = prepared[sql] {
            statement = known
        } else {
            statement = try database.prepare(sql)
            prepared[sql] = statement
        }
        defer { statement.reset() }
        bind(statement)
        var found: [Row] = []
        while found.count < limit, try statement.step() {
            guard let row = try map(statement) else { break }
            found.append(row)
        }
        return found
    }

    private static func buffer(_ statement: Statement, _ column: Int32) -> ByteBuffer {
        statement.withBytes(column) { ByteBuffer(bytes: $0) }
    }

    // MARK: Mailboxes and chats

    /// A user's envelopes behind `after`, in order, up to `limit` rows and about `bytes` of bodies (at least one row).
    package func mailbox(of user: UserID, after: UInt64, limit: Int, bytes: Int) throws -> [StoredEnvelope] {
        var room = bytes
        return try rows(
            """
            SELECT b.seq, b.chat_id, b.chat_seq, b.message_id, m.user_id, m.device_id, m.client_message_id, m.body, b.keys
            FROM mailbox b JOIN messages m ON m.chat_id = b.chat_id AND m.seq = b.chat_seq WHERE b.user_id = ? AND b.seq > ? ORDER BY b.seq
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, after)
            }, upTo: limit
        ) {
            guard room > 0 else { return nil }
            let envelope = Reader.envelope($0, mailboxSeq: $0.unsigned(0), keys: PackedKeys(stored: Reader.buffer($0, 8)))
            room -= envelope.body.readableBytes
            return envelope
        }
    }

    /// Columns 1 to 7: chat, sequence, message, user, device, client message id, body.
    private static func envelope(_ row: Statement, mailboxSeq: UInt64, keys: PackedKeys) -> StoredEnvelope {
        StoredEnvelope(
            mailboxSeq: mailboxSeq, chat: ChatID(row.unsigned(1)), chatSeq: row.unsigned(2), message: MessageID(row.unsigned(3)),
            senderUser: UserID(row.unsigned(4)), senderDevice: DeviceID(row.unsigned(5)), clientMessageID: row.unsigned(6),
            body: buffer(row, 7), keys: keys)
    }

    /// The highest sequence of a user's mailbox; 0 when it is empty.
    package func mailboxEnd(of user: UserID) throws -> UInt64 {
        try rows("SELECT coalesce(max(seq), 0) FROM mailbox WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }) { $0.unsigned(0) }.first ?? 0
    }

    package func mailboxCount(of user: UserID) throws -> Int {
        try rows("SELECT count(*) FROM mailbox WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }) { Int($0.integer(0)) }.first ?? 0
    }

    /// Where a page of a chat's history begins and which way it goes.
    package enum PageStart: Sendable {
        /// Newer than this sequence, oldest first.
        case after(UInt64)
        /// Older than this sequence, newest first.
        case before(UInt64)
    }

    /// A page of a chat as `user` sees it, up to `limit` messages and about `bytes` of bodies (at least one message).
    package func messages(of chat: ChatID, for user: UserID, _ start: PageStart, limit: Int, bytes: Int) throws -> [StoredEnvelope] {
        let columns = "SELECT 0, chat_id, seq, message_id, user_id, device_id, client_message_id, body FROM messages WHERE chat_id = ?"
        let (sql, seq) =
            switch start {
            case .after(let seq): (columns + " AND seq > ? ORDER BY seq", seq)
            case .before(let seq): (columns + " AND seq < ? ORDER BY seq DESC", min(seq, UInt64(Int64.max)))
            }
        var room = bytes
        let found: [StoredEnvelope] = try rows(
            sql,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }, upTo: limit
        ) {
            guard room > 0 else { return nil }
            let envelope = Reader.envelope($0, mailboxSeq: 0, keys: PackedKeys())
            room -= envelope.body.readableBytes
            return envelope
        }
        return try found.map { envelope in
            var envelope = envelope
            if let place = try place(of: envelope.message, in: user) {
                envelope.mailboxSeq = place.seq
                envelope.keys = place.keys
            }
            return envelope
        }
    }

    /// Finds a message in a mailbox. The rows are in the order of their message ids, so halving the range of sequences finds it.
    private func place(of message: MessageID, in user: UserID) throws -> (seq: UInt64, keys: PackedKeys)? {
        let range: [(UInt64, UInt64)] = try rows("SELECT min(seq), max(seq) FROM mailbox WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }) {
            $0.isNull(0) ? nil : ($0.unsigned(0), $0.unsigned(1))
        }
        guard var (low, high) = range.first else { return nil }
        while low <= high {
            let middle = low + (high - low) / 2
            let probe: (seq: UInt64, message: MessageID, keys: PackedKeys)? = try rows(
                "SELECT seq, message_id, keys FROM mailbox WHERE user_id = ? AND seq >= ? ORDER BY seq LIMIT 1",
                bind: {
                    $0.bind(1, user.rawValue)
                    $0.bind(2, middle)
                }, { ($0.unsigned(0), MessageID($0.unsigned(1)), PackedKeys(stored: Reader.buffer($0, 2))) }
            ).first
            guard let probe else { return nil }
            if probe.message == message { return (probe.seq, probe.keys) }
            if probe.message < message {
                low = probe.seq + 1
            } else {
                if middle == 0 { return nil }
                high = middle - 1
            }
        }
        return nil
    }

    /// The chat's members in the order of their identifiers; empty for an unknown chat.
    package func members(of chat: ChatID) throws -> [UserID] {
        try rows("SELECT user_id FROM members WHERE chat_id = ? ORDER BY user_id", bind: { $0.bind(1, chat.rawValue) }) { UserID($0.unsigned(0)) }
    }

    /// All chats of a user, newest message first, with that message.
    package func conversations(of user: UserID) throws -> [ConversationRow] {
        let chats: [ChatID] = try rows("SELECT chat_id FROM members WHERE user_id = ?", bind: { $0.bind(1, user.rawValue) }) {
            ChatID($0.unsigned(0))
        }
        let conversations = try chats.map { chat in
            ConversationRow(
                chat: chat, members: try members(of: chat),
                last: try messages(of: chat, for: user, .before(UInt64(Int64.max)), limit: 1, bytes: 1).first)
        }
        return conversations.sorted { ($0.last?.message.rawValue ?? $0.chat.rawValue) > ($1.last?.message.rawValue ?? $1.chat.rawValue) }
    }

    /// The receipts in a user's chats that changed after `version`, oldest change first, in whole versions: one acknowledgement moves
    /// receipts in several chats under one version, and a page that ended between them would lose the rest.
    ///
    /// - Parameter limit: about so many rows; at least twice ``Limits/unacknowledgedEnvelopes``, which bounds a version's.
    package func receipts(for user: UserID, after version: UInt64, limit: Int) throws -> (rows: [ReceiptRow], more: Bool) {
        let found: [ReceiptRow] = try rows(
            """
            SELECT r.chat_id, r.user_id, r.delivered_seq, r.read_seq, r.version
            FROM members m JOIN receipts r ON r.chat_id = m.chat_id WHERE m.user_id = ? AND r.version > ? ORDER BY r.version LIMIT ?
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, version)
                $0.bind(3, limit)
            }, Reader.receipt)
        guard found.count == limit, let cut = found.last?.version else { return (found, false) }
        return (found.filter { $0.version < cut }, true)
    }

    package func receipts(of chat: ChatID) throws -> [ReceiptRow] {
        try rows(
            "SELECT chat_id, user_id, delivered_seq, read_seq, version FROM receipts WHERE chat_id = ? ORDER BY user_id",
            bind: { $0.bind(1, chat.rawValue) }, Reader.receipt)
    }

    private static func receipt(_ row: Statement) -> ReceiptRow {
        ReceiptRow(
            chat: ChatID(row.unsigned(0)), user: UserID(row.unsigned(1)), deliveredSeq: row.unsigned(2), readSeq: row.unsigned(3),
            version: row.unsigned(4))
    }

    /// The message that a device sent under a client message id; nil when there is none, or none any more.
    package func message(of device: DeviceID, in chat: ChatID, clientMessageID: UInt64) throws -> SentOutcome? {
        let found: [SentOutcome] = try rows(
            """
            SELECT seq, message_id, client_message_id FROM messages
            WHERE chat_id = ? AND device_id = ? AND client_message_id <= ? ORDER BY seq DESC LIMIT 1
            """,
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, device.rawValue)
                $0.bind(3, clientMessageID)
            }
        ) {
            guard $0.unsigned(2) == clientMessageID else { return nil }
            return SentOutcome(
                chat: chat, clientMessageID: clientMessageID, message: MessageID($0.unsigned(1)), chatSeq: $0.unsigned(0), mailboxes: [])
        }
        return found.first
    }

    // MARK: Accounts

    private static func user(_ row: Statement) -> UserRow {
        UserRow(
            id: UserID(row.unsigned(0)), name: UserName(checked: row.text(1) ?? ""), displayName: row.text(2), avatar: row.text(3),
            suspension: row.unsigned(4) == 0 ? nil : Suspension(since: Stamp(rawValue: row.unsigned(4)).time, reason: row.text(5)),
            noLimits: row.integer(6) != 0)
    }

    private static let userColumns = "SELECT user_id, name, display_name, avatar, suspended, suspended_reason, no_limits FROM users"

    package func user(_ id: UserID) throws -> UserRow? {
        try rows(
            Reader.userColumns + " WHERE user_id = ? AND removed = 0", bind: { $0.bind(1, id.rawValue) }, Reader.user
        ).first
    }

    package func user(named name: UserName) throws -> UserRow? {
        try rows(Reader.userColumns + " WHERE name = ?", bind: { $0.bind(1, name.text) }, Reader.user).first
    }

    /// Users in the order of their names' bytes.
    package func users(after name: UserName?, limit: Int) throws -> [UserRow] {
        try rows(
            Reader.userColumns + " WHERE name > ? ORDER BY name LIMIT ?",
            bind: {
                $0.bind(1, name?.text ?? "")
                $0.bind(2, limit)
            }, Reader.user)
    }

    /// Users that are removed but still have rows in their mailbox.
    package func unfinishedRemovals() throws -> [UserID] {
        try rows("SELECT user_id FROM users WHERE removed = 1 AND EXISTS (SELECT 1 FROM mailbox WHERE mailbox.user_id = users.user_id)") {
            UserID($0.unsigned(0))
        }
    }

    private static let deviceColumns =
        """
        SELECT d.device_id, d.user_id, d.name, d.identity_key, d.agreement_key, d.agreement_signature, coalesce(c.mailbox_seq, 0),
            d.revoked FROM devices d LEFT JOIN cursors c USING (device_id) WHERE TRUE
        """

    private static func device(_ row: Statement) -> DeviceRow {
        DeviceRow(
            id: DeviceID(row.unsigned(0)), user: UserID(row.unsigned(1)), name: row.text(2) ?? "",
            keys: DeviceKeySet(identityKey: row.bytes(3), agreementKey: row.bytes(4), agreementSignature: row.bytes(5)), cursor: row.unsigned(6),
            revoked: row.integer(7) != 0)
    }

    /// An active device.
    package func device(_ id: DeviceID) throws -> DeviceRow? {
        try rows(Reader.deviceColumns + " AND d.revoked = 0 AND d.device_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.device).first
    }

    /// A device, also a revoked one.
    package func anyDevice(_ id: DeviceID) throws -> DeviceRow? {
        try rows(Reader.deviceColumns + " AND d.device_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.device).first
    }

    /// A user's active devices, in the order of their identifiers.
    package func devices(of user: UserID) throws -> [DeviceRow] {
        try rows(
            Reader.deviceColumns + " AND d.revoked = 0 AND d.user_id = ? ORDER BY d.device_id", bind: { $0.bind(1, user.rawValue) }, Reader.device)
    }

    /// Every active device with its user: what the directory keeps in memory.
    package func allDevices() throws -> [(DeviceID, UserID)] {
        try rows("SELECT device_id, user_id FROM devices WHERE revoked = 0") { (DeviceID($0.unsigned(0)), UserID($0.unsigned(1))) }
    }

    /// Every user about whom the directory keeps something in memory.
    package func exceptionalUsers() throws -> (suspended: [UserID], withoutLimits: [UserID]) {
        let found: [(UserID, suspended: Bool, noLimits: Bool)] = try rows(
            "SELECT user_id, suspended, no_limits FROM users WHERE removed = 0 AND (suspended != 0 OR no_limits != 0)"
        ) { (UserID($0.unsigned(0)), $0.integer(1) != 0, $0.integer(2) != 0) }
        return (found.filter(\.suspended).map(\.0), found.filter(\.noLimits).map(\.0))
    }

    /// Envelopes in a user's mailbox behind a cursor.
    package func pending(for user: UserID, behind cursor: UInt64) throws -> Int {
        try rows(
            "SELECT count(*) FROM mailbox WHERE user_id = ? AND seq > ?",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, cursor)
            }
        ) { Int($0.integer(0)) }.first ?? 0
    }

    private static let inviteColumns =
        "SELECT i.invite_id, i.user_id, u.name, i.expires_ms, i.state FROM invites i JOIN users u USING (user_id) WHERE u.removed = 0"

    private static func invite(_ row: Statement) -> InviteRow {
        InviteRow(
            id: InviteID(row.unsigned(0)), user: UserID(row.unsigned(1)), userName: UserName(checked: row.text(2) ?? ""),
            expires: Timestamp(milliseconds: row.integer(3)), state: InviteRow.State(rawValue: row.integer(4)) ?? .revoked)
    }

    package func invite(_ id: InviteID) throws -> InviteRow? {
        try rows(Reader.inviteColumns + " AND i.invite_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.invite).first
    }

    /// Newest first; of one user or of all.
    package func invites(of user: UserID?, limit: Int) throws -> [InviteRow] {
        try rows(
            Reader.inviteColumns + " AND (?1 IS NULL OR i.user_id = ?1) ORDER BY i.invite_id DESC LIMIT ?2",
            bind: {
                if let user { $0.bind(1, user.rawValue) } else { $0.bindNull(1) }
                $0.bind(2, limit)
            }, Reader.invite)
    }

    package func openInvites(of user: UserID, at now: Timestamp) throws -> Int {
        try rows(
            "SELECT count(*) FROM invites WHERE user_id = ? AND state = 0 AND expires_ms > ?",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, now.milliseconds)
            }
        ) { Int($0.integer(0)) }.first ?? 0
    }

    package func counts(at now: Timestamp) throws -> Counts {
        try rows(
            """
            SELECT (SELECT count(*) FROM users WHERE removed = 0), (SELECT count(*) FROM devices WHERE revoked = 0),
                (SELECT count(*) FROM invites WHERE state = 0 AND expires_ms > ?)
            """, bind: { $0.bind(1, now.milliseconds) }
        ) { Counts(users: Int($0.integer(0)), devices: Int($0.integer(1)), openInvites: Int($0.integer(2))) }.first
            ?? Counts(users: 0, devices: 0, openInvites: 0)
    }

    /// Newest first.
    package func audit(limit: Int) throws -> [AuditRow] {
        try rows("SELECT stamp, uid, operation, subject, reason FROM audit ORDER BY stamp DESC LIMIT ?", bind: { $0.bind(1, limit) }) {
            AuditRow(
                at: Stamp(rawValue: $0.unsigned(0)).time,
                actor: Actor(
                    uid: UInt32(truncatingIfNeeded: $0.integer(1)), operation: $0.text(2) ?? "", subject: $0.text(3) ?? "", reason: $0.text(4)))
        }
    }
}
