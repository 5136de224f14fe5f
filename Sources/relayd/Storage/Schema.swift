import RelayModel
import RelaySQLite

/// The store's tables, on one page.
///
/// | table        | key                   | owner          | grows with            | who deletes                        |
/// |--------------|-----------------------|----------------|-----------------------|------------------------------------|
/// | users        | user                  | Directory      | users                 | nobody: a removed or erased user leaves an empty row, so that no id is used twice |
/// | invites      | invite                | Directory      | invites               | `removeUser`                       |
/// | devices      | device                | Directory      | devices               | erasure; a revoked one keeps its public keys, for checking what it sent |
/// | progress     | device                | MessageSending | devices               | `revokeDevice`                     |
/// | contacts     | user, peer            | Directory      | pairs of users        | `removeUser`, and beyond 1,000 ended ones a user; each pair has a row from either side |
/// | prekeys      | device, kind, id      | Directory      | devices; 16 former ones of a kind | `revokeDevice`, `removeUser`; `setKeys` those whose grace is over |
/// | one_time_prekeys | device, id        | Directory      | devices, 100 each     | `takePrekeys` hands each out once; `revokeDevice`, `removeUser` |
/// | key_progress | device                | Directory      | devices               | `revokeDevice`, `removeUser`       |
/// | chats        | chat                  | MessageSending | pairs, groups         | an erasure; not a purge: it leaves the chat |
/// | members      | chat, user, joined    | MessageSending | chats × members       | an erasure; not a purge: it leaves the chat |
/// | messages     | message; chat, sequence | MessageSending | messages              | `purge`, `clearUser`; `delete` leaves the row without its content |
/// | message_keys | chat, sequence, user  | MessageSending | messages of groups of more than 32 | with its message      |
/// | hidden       | user, chat, sequence  | MessageSending | deletions "for me"    | with its message                   |
/// | receipts     | chat, user            | MessageSending | chats                 | an erasure; not a purge: it leaves the chat |
/// | audit        | stamp                 | ControlServer  | operators' changes and attempts; 100,000 | the entry that comes, of the oldest; an erasure takes names out |
/// | erasures     | user                  | Directory      | users to be erased    | `cancelErasure`, `finishErasure`   |
/// | erased_rows  | user, part            | Directory      | 15 an erasure         | `finishErasure`                    |
/// | retention_policies | class           | Retention      | classes of users      | `setRetention`                     |
/// | purges       | stamp                 | Retention      | runs, some a day      | nobody: the proof of purge         |
/// | alerts       | alert                 | Telemetry      | what happens; 1,000   | `recordAlerts` after 90 days, `removeUser` |
/// | load_days    | day                   | Telemetry      | a day; 60             | `recordLoad`                       |
/// | people_periods | metric, start       | Telemetry      | six, while figures are counted | `closePeople`             |
/// | people_tallies | metric, start, person, part | Telemetry | active users, in one day or week | `closePeople`; an erasure within a minute |
/// | people_releases | metric, start      | Telemetry      | days, five a day      | nobody: what was published, and what it cost |
/// | people_gates | start                 | Telemetry      | weeks                 | nobody                             |
/// | meta         | key                   | Storage        | —                     | —                                  |
///
/// An erasure takes more than `removeUser`: it deletes the user's rows in devices, hidden and receipts, their contacts' rows about them, their stays
/// in groups, and whole chats that nobody else can read; it takes the keys that are wrapped for them out of messages, and their name out of the audit
/// log. The user's own row, those of direct chats and the sender of a message stay as bare numbers.
///
/// A message costs one row, whatever the number of recipients: body and wrapped keys stand in it. Message ids rise, so rows are appended and a batch
/// fills pages one after the other; only the narrow index by chat is written all over. A mailbox is no
/// table: it is the merge of the chats that a user is or was in (`members` says from where to where), in the order of the message ids, which is
/// the order of the commits. The keys of a large group are spread over rows of 32 members, so that one member's are found without reading
/// everybody's. `progress` and `receipts` are written once per batch, not per message.
enum Schema {
    /// Applied in order, one transaction each; `PRAGMA user_version` counts them. Never edited once released.
    static let migrations: [Migration] = [
        Migration(
            """
            CREATE TABLE meta (
                key TEXT PRIMARY KEY, value INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE users (
                user_id INTEGER PRIMARY KEY, name TEXT UNIQUE, display_name TEXT, avatar TEXT,
                removed INTEGER NOT NULL DEFAULT 0,
                mailbox_floor INTEGER NOT NULL DEFAULT 0 -- highest sequence that was ever deleted, so that none is used twice
            ) STRICT;
            CREATE TABLE invites (
                invite_id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE,
                expires_ms INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0
            ) STRICT;
            CREATE INDEX invites_by_user ON invites (user_id);
            CREATE TABLE devices (
                device_id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name TEXT NOT NULL,
                identity_key BLOB NOT NULL, agreement_key BLOB NOT NULL, agreement_signature BLOB NOT NULL,
                revoked INTEGER NOT NULL DEFAULT 0
            ) STRICT;
            CREATE INDEX devices_by_user ON devices (user_id);
            CREATE TABLE senders (
                device_id INTEGER PRIMARY KEY, client_message_id INTEGER NOT NULL -- highest accepted
            ) STRICT;
            CREATE TABLE cursors (
                device_id INTEGER PRIMARY KEY, mailbox_seq INTEGER NOT NULL
            ) STRICT;
            CREATE TABLE chats (
                chat_id INTEGER PRIMARY KEY, user_low INTEGER NOT NULL, user_high INTEGER NOT NULL,
                seq_floor INTEGER NOT NULL DEFAULT 0, -- highest sequence that was ever deleted
                UNIQUE (user_low, user_high)
            ) STRICT;
            CREATE TABLE members (
                chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (chat_id, user_id)
            ) STRICT, WITHOUT ROWID;
            CREATE INDEX members_by_user ON members (user_id);
            CREATE TABLE messages (
                chat_id INTEGER NOT NULL, seq INTEGER NOT NULL, message_id INTEGER NOT NULL,
                user_id INTEGER NOT NULL, device_id INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                body BLOB NOT NULL, PRIMARY KEY (chat_id, seq)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE mailbox (
                user_id INTEGER NOT NULL, seq INTEGER NOT NULL, message_id INTEGER NOT NULL,
                chat_id INTEGER NOT NULL, chat_seq INTEGER NOT NULL, keys BLOB NOT NULL, PRIMARY KEY (user_id, seq)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE receipts (
                chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, delivered_seq INTEGER NOT NULL, read_seq INTEGER NOT NULL,
                version INTEGER NOT NULL, PRIMARY KEY (chat_id, user_id)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE audit (
                stamp INTEGER PRIMARY KEY, uid INTEGER NOT NULL, operation TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT
            ) STRICT;
            """),
        oneRowAMessage,
        Migration(
            """
            ALTER TABLE users ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0; -- the stamp of the suspension
            ALTER TABLE users ADD COLUMN suspended_reason TEXT;
            ALTER TABLE users ADD COLUMN no_limits INTEGER NOT NULL DEFAULT 0;
            """),
        Migration(
            """
            ALTER TABLE messages RENAME TO old_messages;
            CREATE TABLE messages (
                message_id INTEGER PRIMARY KEY, chat_id INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
                user_id INTEGER NOT NULL, device_id INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
                extra BLOB, keys BLOB NOT NULL, body BLOB NOT NULL
            ) STRICT;
            INSERT INTO messages (message_id, chat_id, seq, kind, user_id, device_id, client_message_id, extra, keys, body)
                SELECT message_id, chat_id, seq, kind, user_id, device_id, client_message_id, extra, keys, body
                FROM old_messages ORDER BY message_id;
            DROP TABLE old_messages;
            CREATE UNIQUE INDEX messages_by_chat ON messages (chat_id, seq);
            """),
        contacts,
        keys,
        erasure,
        retention,
        alerts,
        people,
        presence,
        audit,
    ]

    /// Every table with the columns that order it, for dumps and checks.
    static let tables = [
        "meta": "key", "users": "user_id", "contacts": "user_id, peer_id", "invites": "invite_id", "devices": "device_id", "progress": "device_id",
        "prekeys": "device_id, kind, key_id", "one_time_prekeys": "device_id, key_id", "key_progress": "device_id",
        "chats": "chat_id", "members": "chat_id, user_id, joined_seq", "messages": "chat_id, seq", "message_keys": "chat_id, seq, first_user_id",
        "hidden": "user_id, chat_id, seq", "receipts": "chat_id, user_id", "audit": "stamp",
        "erasures": "user_id", "erased_rows": "user_id, part",
        "retention_policies": "class", "purges": "stamp",
        "alerts": "alert_id", "load_days": "day",
        "people_periods": "metric, start", "people_tallies": "metric, start, person, part", "people_releases": "metric, start",
        "people_gates": "start",
    ]
}

/// One step from a schema to the next.
struct Migration: Sendable {
    /// Runs first.
    var sql: String
    /// Moves what SQL alone cannot.
    var convert: (@Sendable (Database) throws -> Void)?
    /// Runs last.
    var cleanUp = ""

    init(_ sql: String, convert: (@Sendable (Database) throws -> Void)? = nil, cleanUp: String = "") {
        self.sql = sql
        self.convert = convert
        self.cleanUp = cleanUp
    }

    func run(on database: Database) throws {
        try database.execute(sql)
        try convert?(database)
        try database.execute(cleanUp)
    }
}
