import RelayCrypto
import RelayModel
import RelaySQLite

/// Everything a client keeps: account, keys of others, chats, outbox, dead letters, history, watermarks. A SQLite file in a ``StateDirectory``.
///
/// Confined to one thread or event loop at a time. A change is on disk when ``transaction(_:)`` returns.
package final class ClientState {
    package let directory: StateDirectory
    private let database: Database
    private let lock: StateDirectory.Lock?
    private var statements: [String: Statement] = [:]

    // MARK: Opening

    /// A new state: the directory, the keys and an account that is not enrolled yet. An attempt that stopped before the relay answered is continued
    /// with the same keys.
    package static func create(
        _ directory: StateDirectory, relay: String, deviceName: String, entropy: any Entropy
    ) throws(ClientError) -> (ClientState, DeviceSecrets) {
        try directory.create()
        let lock = try directory.lock()
        try directory.createDatabaseFile()
        let state = try ClientState(directory, access: .readWriteCreate, lock: lock)
        if try state.storing({ try state.enrolled() }) { throw .alreadyEnrolled(path: directory.path) }
        let secrets: DeviceSecrets
        if let kept = try directory.readSecrets() {
            secrets = kept
        } else {
            secrets = DeviceSecrets.generate(entropy)
            try directory.write(secrets)
        }
        try state.transaction {
            try state.run("INSERT OR REPLACE INTO account (one, relay, device_name) VALUES (1, ?, ?)") {
                $0.bind(1, relay)
                $0.bind(2, deviceName)
            }
        }
        return (state, secrets)
    }

    /// An enrolled device, to work with: nobody else may meanwhile.
    package static func open(_ directory: StateDirectory) throws(ClientError) -> (ClientState, DeviceSecrets, Account) {
        try directory.check()
        let lock = try directory.lock()
        guard let secrets = try directory.readSecrets() else { throw .notEnrolled(path: directory.path) }
        try directory.createDatabaseFile()
        let state = try ClientState(directory, access: .readWriteCreate, lock: lock)
        guard let account = try state.account() else { throw .notEnrolled(path: directory.path) }
        return (state, secrets, account)
    }

    /// An enrolled device, to look at, also while another process works with it.
    package static func inspect(_ directory: StateDirectory) throws(ClientError) -> (ClientState, Account) {
        try directory.check()
        guard try directory.readSecrets() != nil else { throw .notEnrolled(path: directory.path) }
        let state = try ClientState(directory, access: .readOnly, lock: nil)
        guard let account = try state.account() else { throw .notEnrolled(path: directory.path) }
        return (state, account)
    }

    private init(_ directory: StateDirectory, access: Database.Access, lock: StateDirectory.Lock?) throws(ClientError) {
        self.directory = directory
        self.lock = lock
        do {
            database = try Database(path: directory.databasePath, access: access)
            if access == .readWriteCreate {
                try StateSchema.migrate(database, path: directory.databasePath)
            } else if try database.integer("PRAGMA user_version") != Int64(StateSchema.migrations.count) {
                throw ClientError.state(
                    path: directory.databasePath, problem: "was written by another version of this client", hint: "run `chatctl client listen` once")
            }
        } catch let error as ClientError {
            throw error
        } catch {
            throw .store("\(error)")
        }
    }

    // MARK: Transactions

    /// Everything in `body`, or nothing. On disk when it returns.
    package func transaction<Result>(_ body: () throws -> Result) throws(ClientError) -> Result { try storing { try database.transaction(body) } }

    private func storing<Result>(_ body: () throws -> Result) throws(ClientError) -> Result {
        do { return try body() } catch let error as ClientError { throw error } catch { throw .store("\(error)") }
    }

    private func statement(_ sql: String) throws -> Statement {
        if let kept = statements[sql] { return kept }
        let prepared = try database.prepare(sql)
        statements[sql] = prepared
        return prepared
    }

    private func run(_ sql: String, _ bind: (Statement) -> Void = { _ in }) throws { try statement(sql).run(bind) }

    private func rows<Row>(_ sql: String, _ bind: (Statement) -> Void = { _ in }, _ read: (Statement) -> Row) throws -> [Row] {
        let query = try statement(sql)
        bind(query)
        defer { query.reset() }
        var found: [Row] = []
        while try query.step() { found.append(read(query)) }
        return found
    }

    // MARK: Account

    private func enrolled() throws -> Bool { try database.integer("SELECT device_id FROM account WHERE one = 1 AND device_id IS NOT NULL") != nil }

    package func account() throws(ClientError) -> Account? {
        try storing {
            try rows("SELECT relay, user_id, user_name, device_id, device_name FROM account WHERE one = 1 AND device_id IS NOT NULL") {
                Account(
                    relay: $0.text(0) ?? "", user: UserID($0.unsigned(1)), userName: $0.text(2) ?? "", device: DeviceID($0.unsigned(3)),
                    deviceName: $0.text(4) ?? "")
            }.first
        }
    }

    func completeEnrolment(user: UserID, name: String, device: DeviceID) throws(ClientError) {
        try transaction {
            try run("UPDATE account SET user_id = ?, user_name = ?, device_id = ? WHERE one = 1") {
                $0.bind(1, user.rawValue)
                $0.bind(2, name)
                $0.bind(3, device.rawValue)
            }
        }
    }

    private func counter(_ column: String) throws(ClientError) -> UInt64 {
        try storing { UInt64(bitPattern: try rows("SELECT \(column) FROM account WHERE one = 1") { $0.integer(0) }.first ?? 0) }
    }

    /// Everything in the mailbox up to here is in the history.
    package func cursor() throws(ClientError) -> UInt64 { try counter("cursor") }
    package func receiptsVersion() throws(ClientError) -> UInt64 { try counter("receipts_version") }
    package func highestClientMessageID() throws(ClientError) -> UInt64 { try counter("highest_client_message_id") }
    /// Envelopes that came below a place the stream had given already.
    package func lateArrivals() throws(ClientError) -> UInt64 { try counter("late_arrivals") }

    func setCursor(_ seq: UInt64) throws {
        try run("UPDATE account SET cursor = ? WHERE one = 1 AND cursor < ?") {
            $0.bind(1, seq); $0.bind(2, seq)
        }
    }
    func setHighestClientMessageID(_ id: UInt64) throws {
        try run("UPDATE account SET highest_client_message_id = ? WHERE one = 1 AND highest_client_message_id < ?") {
            $0.bind(1, id); $0.bind(2, id)
        }
    }

    // MARK: People and their keys

    /// What the relay said about a user: all their active devices. The identity keys of devices known before stay as they are.
    /// - Returns: devices whose identity key is not the one that was pinned.
    @discardableResult
    func store(user: UserID, name: String, displayName: String, devices: [KnownDevice]) throws -> [DeviceID] {
        try run("INSERT INTO users VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET name = ?2, display_name = ?3") {
            $0.bind(1, user.rawValue)
            $0.bind(2, name)
            $0.bind(3, displayName)
        }
        try run("UPDATE devices SET active = 0 WHERE user_id = ?") { $0.bind(1, user.rawValue) }
        var changed: [DeviceID] = []
        for device in devices {
            if let known = try self.device(device.id), known.identityKey != device.identityKey || known.user != user {
                changed.append(device.id)
                continue
            }
            try run("INSERT INTO devices VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT (id) DO UPDATE SET name = ?3, agreement_key = ?5, active = 1") {
                $0.bind(1, device.id.rawValue)
                $0.bind(2, user.rawValue)
                $0.bind(3, device.name)
                $0.bind(4, device.identityKey)
                $0.bind(5, device.agreementKey)
            }
        }
        return changed
    }

    /// A device that its user has no more; nothing is sealed for it. One that is known stays as it is.
    func storeFormer(_ device: KnownDevice) throws {
        try run("INSERT OR IGNORE INTO devices VALUES (?, ?, ?, ?, ?, 0)") {
            $0.bind(1, device.id.rawValue)
            $0.bind(2, device.user.rawValue)
            $0.bind(3, device.name)
            $0.bind(4, device.identityKey)
            $0.bind(5, device.agreementKey)
        }
    }

    private static let deviceColumns = "SELECT id, user_id, name, identity_key, agreement_key, active FROM devices"

    private func knownDevice(_ row: Statement) -> KnownDevice {
        KnownDevice(
            id: DeviceID(row.unsigned(0)), user: UserID(row.unsigned(1)), name: row.text(2) ?? "", identityKey: row.bytes(3),
            agreementKey: row.bytes(4),
            active: row.integer(5) != 0)
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

    // MARK: Chats

    func storeChat(_ chat: ChatID, members: [UserID]) throws {
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, chat.rawValue) }
        for member in members {
            try run("INSERT OR IGNORE INTO members VALUES (?, ?)") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, member.rawValue)
            }
        }
    }

    func knowsChat(_ chat: ChatID) throws -> Bool {
        try !rows("SELECT 1 FROM members WHERE chat_id = ? LIMIT 1", { $0.bind(1, chat.rawValue) }) { _ in true }.isEmpty
    }

    /// The one-to-one chat with a user, once it is known.
    package func chat(with name: String) throws(ClientError) -> ChatID? {
        try storing {
            try rows(
                """
                SELECT m.chat_id FROM members m JOIN users u ON u.id = m.user_id
                WHERE u.name = ? AND u.id IS NOT (SELECT user_id FROM account) ORDER BY m.chat_id DESC LIMIT 1
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

    /// The active devices of all members: whom a message is sealed for.
    func recipients(in chat: ChatID) throws -> [KnownDevice] {
        try rows(
            """
            SELECT d.id, d.user_id, d.name, d.identity_key, d.agreement_key, d.active FROM members m JOIN devices d ON d.user_id = m.user_id
            WHERE m.chat_id = ? AND d.active = 1 ORDER BY d.user_id, d.id
            """, { $0.bind(1, chat.rawValue) }, knownDevice)
    }

    // MARK: Outbox

    /// Queues a message. Call it inside ``transaction(_:)`` with others to queue them together.
    func enqueue(_ text: String, to recipient: String, writtenAt: Timestamp) throws -> Int64 {
        try run("INSERT INTO outbox (recipient, text, written_at) VALUES (?, ?, ?)") {
            $0.bind(1, recipient)
            $0.bind(2, text)
            $0.bind(3, writtenAt.milliseconds)
        }
        return try database.integer("SELECT last_insert_rowid()") ?? 0
    }

    private static let outboxColumns = "SELECT id, recipient, text, written_at, chat_id, client_message_id FROM outbox"

    private func outboxEntry(_ row: Statement) -> OutboxEntry {
        OutboxEntry(
            id: row.integer(0), recipient: row.text(1) ?? "", text: row.text(2) ?? "", writtenAt: Timestamp(milliseconds: row.integer(3)),
            chat: row.isNull(4) ? nil : ChatID(row.unsigned(4)), clientMessageID: row.isNull(5) ? nil : row.unsigned(5))
    }

    package func outboxCount() throws(ClientError) -> Int {
        try storing { try rows("SELECT count(*) FROM outbox") { Int($0.integer(0)) }.first ?? 0 }
    }

    /// In the order in which they were written.
    package func outbox(limit: Int = Limits.clientOutbox) throws(ClientError) -> [OutboxEntry] {
        try storing { try rows(ClientState.outboxColumns + " ORDER BY id LIMIT ?", { $0.bind(1, limit) }, outboxEntry) }
    }

    func unsealed(limit: Int) throws -> [OutboxEntry] {
        try rows(ClientState.outboxColumns + " WHERE client_message_id IS NULL ORDER BY id LIMIT ?", { $0.bind(1, limit) }, outboxEntry)
    }

    /// What was sealed and may have been sent before this process began, by rising number.
    func sealedOutbox() throws -> [OutboxEntry] {
        try rows(ClientState.outboxColumns + " WHERE client_message_id IS NOT NULL ORDER BY client_message_id", { _ in }, outboxEntry)
    }

    func outboxEntry(_ id: Int64) throws -> OutboxEntry? {
        try rows(ClientState.outboxColumns + " WHERE id = ?", { $0.bind(1, id) }, outboxEntry).first
    }

    /// Messages for a user that are not sealed yet.
    func unsealed(to recipient: String) throws -> [Int64] {
        try rows("SELECT id FROM outbox WHERE recipient = ? AND client_message_id IS NULL ORDER BY id", { $0.bind(1, recipient) }) { $0.integer(0) }
    }

    func sealedBytes(_ id: Int64) throws -> [UInt8]? {
        try rows("SELECT sealed FROM outbox WHERE id = ?", { $0.bind(1, id) }) { $0.isNull(0) ? nil : $0.bytes(0) }.first ?? nil
    }

    func storeSealed(_ id: Int64, chat: ChatID, clientMessageID: UInt64, _ bytes: [UInt8]) throws {
        try run("UPDATE outbox SET chat_id = ?, client_message_id = ?, sealed = ? WHERE id = ?") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, clientMessageID)
            $0.bind(3, bytes)
            $0.bind(4, id)
        }
        try setHighestClientMessageID(clientMessageID)
    }

    /// The relay has it: from the outbox into the history.
    func storeSent(_ id: Int64, _ place: SentPlace, by account: Account) throws {
        guard let entry = try outboxEntry(id) else { return }
        try insertHistory(
            HistoryEntry(
                chat: place.chat, chatSeq: place.chatSeq, message: place.message, senderUser: account.user, senderDevice: account.device,
                clientMessageID: place.clientMessageID, sentAt: place.sentAt, writtenAt: entry.writtenAt, text: entry.text, problem: nil, outboxID: id
            ))
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        try fillGap(place.chat, place.chatSeq)
    }

    // MARK: Dead letters

    /// From the outbox to the dead letters.
    func bury(_ id: Int64, code: String, reason: String) throws -> DeadLetter? {
        guard let entry = try outboxEntry(id) else { return nil }
        try run("INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)") {
            $0.bind(1, id)
            $0.bind(2, entry.recipient)
            $0.bind(3, entry.text)
            $0.bind(4, entry.writtenAt.milliseconds)
            $0.bind(5, code)
            $0.bind(6, reason)
        }
        try run("DELETE FROM outbox WHERE id = ?") { $0.bind(1, id) }
        return DeadLetter(id: id, recipient: entry.recipient, text: entry.text, writtenAt: entry.writtenAt, code: code, reason: reason)
    }

    package func deadLetters() throws(ClientError) -> [DeadLetter] {
        try storing {
            try rows("SELECT id, recipient, text, written_at, code, reason FROM dead_letters ORDER BY id") {
                DeadLetter(
                    id: $0.integer(0), recipient: $0.text(1) ?? "", text: $0.text(2) ?? "", writtenAt: Timestamp(milliseconds: $0.integer(3)),
                    code: $0.text(4) ?? "", reason: $0.text(5) ?? "")
            }
        }
    }

    /// Puts all dead letters back into the outbox, behind what waits there, in their old order. Gives how many.
    package func retryDeadLetters() throws(ClientError) -> Int {
        try transaction {
            try run("INSERT INTO outbox (recipient, text, written_at) SELECT recipient, text, written_at FROM dead_letters ORDER BY id")
            try run("DELETE FROM dead_letters")
            return database.changes
        }
    }

    // MARK: History

    enum Stored: Equatable { case new, duplicate }

    /// Stores a received envelope and checks its order. Moves the cursor.
    func storeReceived(_ entry: HistoryEntry, mailboxSeq: UInt64) throws -> Stored {
        let known = try !rows(
            "SELECT 1 FROM history WHERE chat_id = ? AND chat_seq = ?",
            {
                $0.bind(1, entry.chat.rawValue); $0.bind(2, entry.chatSeq)
            }
        ) { _ in true }.isEmpty
        try setCursor(mailboxSeq)
        guard !known else { return .duplicate }
        try run("INSERT OR IGNORE INTO chats (id) VALUES (?)") { $0.bind(1, entry.chat.rawValue) }
        let highest = try rows("SELECT highest_seq FROM chats WHERE id = ?", { $0.bind(1, entry.chat.rawValue) }) { $0.unsigned(0) }.first ?? 0
        var order = ChatOrder(highest: highest)
        switch order.received(entry.chatSeq) {
        case .inOrder: break
        case .gap(let gap): try storeGap(entry.chat, gap)
        case .late:
            try run("UPDATE account SET late_arrivals = late_arrivals + 1 WHERE one = 1")
            try fillGap(entry.chat, entry.chatSeq)
        }
        try run("UPDATE chats SET highest_seq = ? WHERE id = ?") {
            $0.bind(1, order.highest)
            $0.bind(2, entry.chat.rawValue)
        }
        try insertHistory(entry)
        return .new
    }

    private func insertHistory(_ entry: HistoryEntry) throws {
        try run("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") {
            $0.bind(1, entry.chat.rawValue)
            $0.bind(2, entry.chatSeq)
            $0.bind(3, entry.message.rawValue)
            $0.bind(4, entry.senderUser.rawValue)
            $0.bind(5, entry.senderDevice.rawValue)
            $0.bind(6, entry.clientMessageID)
            $0.bind(7, entry.sentAt.milliseconds)
            if let written = entry.writtenAt { $0.bind(8, written.milliseconds) } else { $0.bindNull(8) }
            $0.bind(9, entry.text)
            $0.bind(10, entry.problem)
            if let outbox = entry.outboxID { $0.bind(11, outbox) } else { $0.bindNull(11) }
        }
    }

    private func storeGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>) throws {
        let filled = try rows(
            "SELECT chat_seq FROM history WHERE chat_id = ? AND chat_seq BETWEEN ? AND ? ORDER BY chat_seq",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, gap.lowerBound)
                $0.bind(3, gap.upperBound)
            }
        ) { $0.unsigned(0) }
        var left = [gap]
        for seq in filled { left = left.dropLast() + (left.last.map { ChatOrder.filling(seq, in: $0) } ?? []) }
        for range in left { try insertGap(chat, range) }
    }

    private func insertGap(_ chat: ChatID, _ gap: ClosedRange<UInt64>) throws {
        try run("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, gap.lowerBound)
            $0.bind(3, gap.upperBound)
        }
    }

    private func fillGap(_ chat: ChatID, _ seq: UInt64) throws {
        let found = try rows(
            "SELECT first, last FROM gaps WHERE chat_id = ?1 AND first <= ?2 AND last >= ?2",
            {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { ($0.unsigned(0), $0.unsigned(1)) }
        for (first, last) in found where first <= last {
            try run("DELETE FROM gaps WHERE chat_id = ? AND first = ?") {
                $0.bind(1, chat.rawValue)
                $0.bind(2, first)
            }
            for range in ChatOrder.filling(seq, in: first...last) { try insertGap(chat, range) }
        }
    }

    package func gaps(in chat: ChatID) throws(ClientError) -> [ClosedRange<UInt64>] {
        try storing {
            try rows("SELECT first, last FROM gaps WHERE chat_id = ? ORDER BY first", { $0.bind(1, chat.rawValue) }) {
                $0.unsigned(0)...max($0.unsigned(0), $0.unsigned(1))
            }
        }
    }

    /// A chat's messages, or all chats', in the order of the chat; at most `limit`, behind `after`.
    package func history(chat: ChatID? = nil, after: UInt64 = 0, limit: Int = .max) throws(ClientError) -> [HistoryEntry] {
        try storing {
            try rows(
                """
                SELECT h.chat_id, h.chat_seq, h.message_id, h.sender_user, h.sender_device, h.client_message_id, h.sent_at, h.written_at, h.text, h.problem,
                    h.outbox_id, u.name,
                    (SELECT w.name FROM members m JOIN users w ON w.id = m.user_id
                     WHERE m.chat_id = h.chat_id AND m.user_id IS NOT (SELECT user_id FROM account) LIMIT 1)
                FROM history h LEFT JOIN users u ON u.id = h.sender_user
                WHERE (?1 IS NULL OR h.chat_id = ?1) AND h.chat_seq > ?2 ORDER BY h.chat_id, h.chat_seq LIMIT ?3
                """,
                {
                    if let chat { $0.bind(1, chat.rawValue) } else { $0.bindNull(1) }
                    $0.bind(2, after)
                    $0.bind(3, limit)
                },
                { row in
                    HistoryEntry(
                        chat: ChatID(row.unsigned(0)), chatSeq: row.unsigned(1), message: MessageID(row.unsigned(2)),
                        senderUser: UserID(row.unsigned(3)),
                        senderDevice: DeviceID(row.unsigned(4)), clientMessageID: row.unsigned(5), sentAt: Timestamp(milliseconds: row.integer(6)),
                        writtenAt: row.isNull(7) ? nil : Timestamp(milliseconds: row.integer(7)), text: row.text(8), problem: row.text(9),
                        outboxID: row.isNull(10) ? nil : row.integer(10), senderName: row.text(11), with: row.text(12))
                })
        }
    }

    /// Names for an entry that was just received.
    func withNames(_ entry: HistoryEntry, _ account: Account) throws -> HistoryEntry {
        var entry = entry
        entry.senderName = try userName(entry.senderUser)
        entry.with = try rows(
            "SELECT u.name FROM members m JOIN users u ON u.id = m.user_id WHERE m.chat_id = ? AND m.user_id <> ? LIMIT 1",
            {
                $0.bind(1, entry.chat.rawValue)
                $0.bind(2, account.user.rawValue)
            }
        ) { $0.text(0) ?? "" }.first
        return entry
    }

    // MARK: Watermarks

    /// Monotone: a lower value than the stored one changes nothing.
    func storeReceipt(chat: ChatID, user: UserID, delivered: UInt64, read: UInt64, version: UInt64) throws {
        try run(
            """
            INSERT INTO receipts VALUES (?1, ?2, ?3, ?4) ON CONFLICT (chat_id, user_id)
            DO UPDATE SET delivered_seq = max(delivered_seq, ?3), read_seq = max(read_seq, ?4)
            """
        ) {
            $0.bind(1, chat.rawValue)
            $0.bind(2, user.rawValue)
            $0.bind(3, max(delivered, read))
            $0.bind(4, read)
        }
        try run("UPDATE account SET receipts_version = ?1 WHERE one = 1 AND receipts_version < ?1") { $0.bind(1, version) }
    }

    package func watermarks(in chat: ChatID, of user: UserID) throws(ClientError) -> Watermarks {
        try storing {
            try rows(
                "SELECT delivered_seq, read_seq FROM receipts WHERE chat_id = ? AND user_id = ?",
                {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, user.rawValue)
                }
            ) { Watermarks(delivered: $0.unsigned(0), read: $0.unsigned(1)) }.first ?? Watermarks(delivered: 0, read: 0)
        }
    }

    /// The person has read the chat up to here.
    func storeRead(_ chat: ChatID, _ seq: UInt64) throws {
        try run("INSERT INTO reads VALUES (?1, ?2) ON CONFLICT (chat_id) DO UPDATE SET seq = max(seq, ?2)") {
            $0.bind(1, chat.rawValue)
            $0.bind(2, seq)
        }
    }

    /// What the person has read and the relay's receipts do not say yet.
    func unconfirmedReads(of user: UserID) throws -> [(chat: ChatID, seq: UInt64)] {
        try rows(
            """
            SELECT r.chat_id, r.seq FROM reads r LEFT JOIN receipts w ON w.chat_id = r.chat_id AND w.user_id = ?
            WHERE w.read_seq IS NULL OR w.read_seq < r.seq
            """, { $0.bind(1, user.rawValue) }
        ) { (ChatID($0.unsigned(0)), $0.unsigned(1)) }
    }

    /// Where an own message is; nil when there never was one of that number.
    package func stage(of id: Int64) throws(ClientError) -> SendStage? {
        try storing {
            if try outboxEntry(id) != nil { return .queued }
            let place = try rows("SELECT chat_id, chat_seq FROM history WHERE outbox_id = ?", { $0.bind(1, id) }) {
                (ChatID($0.unsigned(0)), $0.unsigned(1))
            }.first
            if let (chat, seq) = place {
                let marks =
                    try rows(
                        "SELECT max(delivered_seq), max(read_seq) FROM receipts WHERE chat_id = ? AND user_id IS NOT (SELECT user_id FROM account)",
                        { $0.bind(1, chat.rawValue) }
                    ) { ($0.unsigned(0), $0.unsigned(1)) }.first ?? (0, 0)
                return seq <= marks.1 ? .read : seq <= marks.0 ? .delivered : .sent
            }
            return try rows("SELECT 1 FROM dead_letters WHERE id = ?", { $0.bind(1, id) }) { _ in SendStage.dead }.first
        }
    }

    /// Every chat, with what this device sent in it and how far that got.
    package func chats() throws(ClientError) -> [ChatSummary] {
        try storing {
            try rows(
                """
                WITH me AS (SELECT user_id, device_id FROM account),
                marks AS (SELECT chat_id, max(delivered_seq) AS delivered, max(read_seq) AS read FROM receipts
                          WHERE user_id IS NOT (SELECT user_id FROM me) GROUP BY chat_id)
                SELECT c.id,
                    (SELECT u.name FROM members m JOIN users u ON u.id = m.user_id WHERE m.chat_id = c.id AND m.user_id IS NOT (SELECT user_id FROM me) LIMIT 1),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me) AND h.chat_seq <= ifnull(k.delivered, 0)),
                    (SELECT count(*) FROM history h WHERE h.chat_id = c.id AND h.sender_device = (SELECT device_id FROM me) AND h.chat_seq <= ifnull(k.read, 0)),
                    ifnull(k.delivered, 0), ifnull(k.read, 0), ifnull((SELECT max(chat_seq) FROM history h WHERE h.chat_id = c.id), 0),
                    ifnull((SELECT sum(last - first + 1) FROM gaps g WHERE g.chat_id = c.id), 0)
                FROM chats c LEFT JOIN marks k ON k.chat_id = c.id ORDER BY c.id
                """
            ) {
                ChatSummary(
                    chat: ChatID($0.unsigned(0)), with: $0.text(1), messages: Int($0.integer(2)), sent: Int($0.integer(3)),
                    delivered: Int($0.integer(4)),
                    read: Int($0.integer(5)), deliveredSeq: $0.unsigned(6), readSeq: $0.unsigned(7), lastSeq: $0.unsigned(8),
                    missing: Int($0.integer(9)))
            }
        }
    }
}
