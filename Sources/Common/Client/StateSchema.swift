import RelaySQLite

/// The tables of a client's state; migrations are numbered by their place and never edited once shipped.
enum StateSchema {
    static let migrations: [String] = [
        """
        -- One row: who and where this device is, and its counters.
        CREATE TABLE account (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            relay TEXT NOT NULL,
            device_name TEXT NOT NULL,
            user_id INTEGER, user_name TEXT, device_id INTEGER,
            cursor INTEGER NOT NULL DEFAULT 0,
            receipts_version INTEGER NOT NULL DEFAULT 0,
            highest_client_message_id INTEGER NOT NULL DEFAULT 0,
            late_arrivals INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        -- Everybody a chat was shared with.
        CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, display_name TEXT NOT NULL) STRICT;
        CREATE INDEX users_by_name ON users (name);
        -- Their devices. The identity key is pinned when it is first seen; a device that the relay lists no longer is inactive.
        CREATE TABLE devices (
            id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name TEXT NOT NULL,
            identity_key BLOB NOT NULL, agreement_key BLOB NOT NULL, active INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX devices_by_user ON devices (user_id);
        -- highest_seq: of the stream, for the order check. gone: the other member was removed, so nothing more can be sent there.
        CREATE TABLE chats (id INTEGER PRIMARY KEY, highest_seq INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0) STRICT;
        CREATE TABLE members (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (chat_id, user_id)) STRICT, WITHOUT ROWID;
        -- Written and not yet accepted. `sealed` is the whole Send message, so that a retry repeats it byte for byte.
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT, recipient TEXT NOT NULL, text TEXT NOT NULL, written_at INTEGER NOT NULL,
            chat_id INTEGER, client_message_id INTEGER UNIQUE, sealed BLOB
        ) STRICT;
        CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY, recipient TEXT NOT NULL, text TEXT NOT NULL, written_at INTEGER NOT NULL,
            code TEXT NOT NULL, reason TEXT NOT NULL
        ) STRICT;
        -- Every message of every chat, the device's own included. `text` is null when `problem` says why it cannot be read.
        CREATE TABLE history (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, message_id INTEGER NOT NULL,
            sender_user INTEGER NOT NULL, sender_device INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
            sent_at INTEGER NOT NULL, written_at INTEGER, text TEXT, problem TEXT, outbox_id INTEGER,
            PRIMARY KEY (chat_id, chat_seq)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX history_by_outbox ON history (outbox_id) WHERE outbox_id IS NOT NULL;
        CREATE TABLE gaps (chat_id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (chat_id, first)) STRICT, WITHOUT ROWID;
        CREATE TABLE receipts (
            chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, delivered_seq INTEGER NOT NULL, read_seq INTEGER NOT NULL,
            PRIMARY KEY (chat_id, user_id)
        ) STRICT, WITHOUT ROWID;
        -- How far the person has read here; told to the relay again until its receipts say the same.
        CREATE TABLE reads (chat_id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
        """
    ]

    /// Brings the tables up to date, or refuses those of a newer client.
    static func migrate(_ database: Database, path: String) throws {
        let version = Int(try database.integer("PRAGMA user_version") ?? 0)
        guard version <= migrations.count else {
            throw ClientError.state(
                path: path, problem: "was written by a newer client (version \(version))", hint: "use that client, or a newer one")
        }
        for (index, migration) in migrations.enumerated().dropFirst(version) {
            try database.transaction {
                try database.execute(migration)
                try database.execute("PRAGMA user_version = \(index + 1)")
            }
        }
    }
}
