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
        """,
        """
        -- Groups. kind: as in ChatKind. title: what this device could read last. joined_seq, left_seq: this user's own stay (left_seq 0: it goes on).
        -- members_seq: the place in the chat up to which `members` takes all changes into account. announced_seq: this much is there to be fetched.
        ALTER TABLE chats ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE chats ADD COLUMN title TEXT;
        ALTER TABLE chats ADD COLUMN joined_seq INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE chats ADD COLUMN left_seq INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE chats ADD COLUMN members_seq INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE chats ADD COLUMN announced_seq INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX chats_by_title ON chats (title) WHERE title IS NOT NULL;
        ALTER TABLE members ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE members ADD COLUMN joined_seq INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX members_by_user ON members (user_id);
        -- target: the chat, when it is not found by the recipient's name. follows: the entry that makes that chat. command: what it is, when it is no
        -- message; `sealed` is a Send, GroupChange or Delete accordingly.
        ALTER TABLE outbox ADD COLUMN target INTEGER;
        ALTER TABLE outbox ADD COLUMN follows INTEGER;
        ALTER TABLE outbox ADD COLUMN command TEXT;
        CREATE INDEX outbox_by_followed ON outbox (follows) WHERE follows IS NOT NULL;
        ALTER TABLE dead_letters ADD COLUMN target INTEGER;
        ALTER TABLE dead_letters ADD COLUMN follows INTEGER;
        ALTER TABLE dead_letters ADD COLUMN command TEXT;
        -- kind: see HistoryRow. event: the GroupEvent or Deletion as it came. A change of the title has the title in `text`.
        ALTER TABLE history ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE history ADD COLUMN event BLOB;
        -- gone: the relay said that it has these places no more; otherwise they never came.
        ALTER TABLE gaps ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
        -- Deleted messages, also those that have not come yet. outbox_id: the entry with which this device deleted them.
        CREATE TABLE deletions (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, everyone INTEGER NOT NULL, outbox_id INTEGER, PRIMARY KEY (chat_id, chat_seq)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX deletions_by_outbox ON deletions (outbox_id) WHERE outbox_id IS NOT NULL;
        """,
        """
        -- Contacts as the relay has them. state: as in ContactState. below: the last one without a block. name: empty until the relay has told it.
        CREATE TABLE contacts (
            user_id INTEGER PRIMARY KEY, name TEXT NOT NULL, state INTEGER NOT NULL, below INTEGER NOT NULL, category TEXT NOT NULL,
            version INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX contacts_by_name ON contacts (name);
        -- contacts_version: all changes up to here are in `contacts`.
        ALTER TABLE account ADD COLUMN contacts_version INTEGER NOT NULL DEFAULT 0;
        -- What was decided about contacts and the relay has not taken. action: as in ContactAction; null: the label alone. category: null: as it was.
        -- based_on: null: the reply to the one before will say. conflict: another device decided otherwise; the person must say what holds.
        CREATE TABLE contact_decisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, action INTEGER, category TEXT, based_on INTEGER, decided_at INTEGER NOT NULL,
            conflict INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX contact_decisions_by_name ON contact_decisions (name);
        -- hidden: its sender was blocked when it came; never shown.
        ALTER TABLE history ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
        """,
        """
        -- Whose devices the person has verified. keys: the hash of their identity keys then.
        CREATE TABLE verified (user_id INTEGER PRIMARY KEY, keys BLOB NOT NULL, at INTEGER NOT NULL) STRICT;
        """,
        """
        -- agreement_version: as the relay counts a device's agreement keys. Those that were stored before could change were first ones.
        ALTER TABLE devices ADD COLUMN agreement_version INTEGER NOT NULL DEFAULT 1;
        -- Messages that could not be opened and were asked for again, of the device that sent them. Gone once the message is there or cannot be had.
        CREATE TABLE resend_requests (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, device_id INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
            asked_at INTEGER NOT NULL, PRIMARY KEY (chat_id, chat_seq)
        ) STRICT, WITHOUT ROWID;
        -- Messages that this device sent again, and for which device: once.
        CREATE TABLE resend_answers (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, device_id INTEGER NOT NULL, answered_at INTEGER NOT NULL,
            PRIMARY KEY (chat_id, chat_seq, device_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX resend_answers_by_time ON resend_answers (answered_at);
        """,
        """
        -- key: what opens the message's body, for a device that the person links later; null for what is older than this column.
        ALTER TABLE history ADD COLUMN key BLOB;
        ALTER TABLE outbox ADD COLUMN key BLOB;
        -- Keys of messages that were sent before this device existed, given by the device that linked it, until the messages are fetched.
        CREATE TABLE given_keys (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (chat_id, chat_seq)
        ) STRICT, WITHOUT ROWID;
        """,
        """
        -- What stood in the history at places that the relay has given to other messages since: it was set back to an older store.
        CREATE TABLE displaced (
            chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, message_id INTEGER NOT NULL,
            sender_user INTEGER NOT NULL, sender_device INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
            sent_at INTEGER NOT NULL, written_at INTEGER, text TEXT, problem TEXT, outbox_id INTEGER,
            kind INTEGER NOT NULL, event BLOB, hidden INTEGER NOT NULL, key BLOB,
            PRIMARY KEY (chat_id, message_id)
        ) STRICT, WITHOUT ROWID;
        """,
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
