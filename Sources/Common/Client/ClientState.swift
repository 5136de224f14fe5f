import RelayCrypto
import RelayModel
import RelaySQLite

/// Everything a client keeps: account, keys of others, chats, outbox, dead letters, history, watermarks. A SQLite file in a ``StateDirectory``.
///
/// Confined to one thread or event loop at a time. A change is on disk when ``transaction(_:)`` returns.
package final class ClientState {
    package let directory: StateDirectory
    let database: Database
    private let lock: StateDirectory.Lock?
    private var statements: [String: Statement] = [:]

    // MARK: Opening

    /// A new state: the directory, the keys and an account that is not enrolled yet. An attempt that stopped before the relay answered is continued
    /// with the same keys.
    package static func create(
        _ directory: StateDirectory, relay: String, deviceName: String, entropy: any Entropy, at now: Timestamp = SystemWallClock().now()
    ) throws(ClientError) -> (ClientState, DeviceSecrets) {
        try directory.create()
        let lock = try directory.lock()
        try directory.createDatabaseFile()
        let state = try ClientState(directory, access: .readWriteCreate, lock: lock)
        if try state.storing({ try state.enrolled() }) { throw .alreadyEnrolled(path: directory.path) }
        let keys: KeyRing
        if let kept = try directory.readKeys() {
            keys = kept
        } else {
            keys = KeyRing(DeviceSecrets.generate(entropy), since: now)
            try directory.write(keys)
        }
        try state.transaction {
            // Who the device will be stays known, when it was to be linked and never heard that it was.
            try state.run(
                """
                INSERT INTO account (one, relay, device_name) VALUES (1, ?1, ?2)
                ON CONFLICT (one) DO UPDATE SET user_id = CASE relay WHEN ?1 THEN user_id END, relay = ?1, device_name = ?2
                """
            ) {
                $0.bind(1, relay)
                $0.bind(2, deviceName)
            }
        }
        return (state, keys.device)
    }

    /// An enrolled device, to work with: nobody else may meanwhile.
    package static func open(_ directory: StateDirectory) throws(ClientError) -> (ClientState, KeyRing, Account) {
        try directory.check()
        let lock = try directory.lock()
        guard let keys = try directory.readKeys() else { throw .notEnrolled(path: directory.path) }
        try directory.createDatabaseFile()
        let state = try ClientState(directory, access: .readWriteCreate, lock: lock)
        guard let account = try state.account() else { throw .notEnrolled(path: directory.path) }
        return (state, keys, account)
    }

    /// An enrolled device, to look at, also while another process works with it.
    package static func inspect(_ directory: StateDirectory) throws(ClientError) -> (ClientState, Account) {
        try directory.check()
        guard try directory.readKeys() != nil else { throw .notEnrolled(path: directory.path) }
        let state = try ClientState(directory, access: .readOnly, lock: nil)
        guard let account = try state.account() else { throw .notEnrolled(path: directory.path) }
        return (state, account)
    }

    /// The device's keys, without their secrets: also while another process works with the directory.
    package static func keyRecords(_ directory: StateDirectory) throws(ClientError) -> (keys: [AgreementKeyRecord], account: Account) {
        let account = try inspect(directory).1
        guard let keys = try directory.readKeys() else { throw .notEnrolled(path: directory.path) }
        return (keys.records, account)
    }

    init(_ directory: StateDirectory, access: Database.Access, lock: StateDirectory.Lock?) throws(ClientError) {
        self.directory = directory
        self.lock = lock
        do {
            database = try Database(path: directory.databasePath, access: access)
            if access == .readWriteCreate {
                // What is deleted is overwritten, in the outbox too.
                try database.execute("PRAGMA secure_delete=ON")
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

    /// Empties the write-ahead log, so that nothing that was deleted is left in it. While another process looks, the log stays until it has looked.
    package func emptyLog() throws(ClientError) { try storing { try database.execute("PRAGMA wal_checkpoint(TRUNCATE)") } }

    // MARK: Transactions

    /// Everything in `body`, or nothing. On disk when it returns.
    package func transaction<Result>(_ body: () throws -> Result) throws(ClientError) -> Result { try storing { try database.transaction(body) } }

    func storing<Result>(_ body: () throws -> Result) throws(ClientError) -> Result {
        do { return try body() } catch let error as ClientError { throw error } catch { throw .store("\(error)") }
    }

    private func statement(_ sql: String) throws -> Statement {
        if let kept = statements[sql] { return kept }
        let prepared = try database.prepare(sql)
        statements[sql] = prepared
        return prepared
    }

    func run(_ sql: String, _ bind: (Statement) -> Void = { _ in }) throws { try statement(sql).run(bind) }

    func rows<Row>(_ sql: String, _ bind: (Statement) -> Void = { _ in }, _ read: (Statement) -> Row) throws -> [Row] {
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
}
