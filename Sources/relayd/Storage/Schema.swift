/// The store's tables, on one page.
///
/// | table    | key              | owner          | grows with            | who deletes                        |
/// |----------|------------------|----------------|-----------------------|------------------------------------|
/// | users    | user             | Directory      | users                 | nobody: a removed user leaves an empty row, so that no id is used twice |
/// | invites  | invite           | Directory      | invites               | `removeUser`                       |
/// | devices  | device           | Directory      | devices               | nobody: a revoked one keeps its public keys, for checking what it sent |
/// | senders  | device           | MessageSending | devices that sent     | `revokeDevice`                     |
/// | cursors  | device           | MessageSending | devices               | `revokeDevice`                     |
/// | chats    | chat             | MessageSending | pairs that talk       | retention                          |
/// | members  | chat, user       | MessageSending | chats                 | retention                          |
/// | messages | chat, sequence   | MessageSending | messages              | retention                          |
/// | mailbox  | user, sequence   | MessageSending | messages × members    | retention, `removeMailbox`         |
/// | receipts | chat, user       | MessageSending | chats                 | retention                          |
/// | audit    | stamp            | ControlServer  | operators' changes    | retention                          |
/// | meta     | key              | Storage        | —                     | —                                  |
///
/// A message costs one row in `messages` and one in `mailbox` for each member. Both are clustered where they are read: messages by
/// chat, mailboxes by user. The rows of a mailbox are in the order of their message ids, so a chat's history finds a user's wrapped
/// keys by binary search instead of another index. `senders`, `cursors` and `receipts` are written once per batch, not per message.
enum Schema {
    /// Applied in order, one transaction each; `PRAGMA user_version` counts them. Never edited once released.
    static let migrations: [String] = [
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
        """,
        """
        ALTER TABLE users ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0; -- the stamp of the suspension
        ALTER TABLE users ADD COLUMN suspended_reason TEXT;
        ALTER TABLE users ADD COLUMN no_limits INTEGER NOT NULL DEFAULT 0;
        """,
    ]

    /// Every table with the columns that order it, for dumps and checks.
    static let tables = [
        "meta": "key", "users": "user_id", "invites": "invite_id", "devices": "device_id", "senders": "device_id", "cursors": "device_id",
        "chats": "chat_id", "members": "chat_id, user_id", "messages": "chat_id, seq", "mailbox": "user_id, seq",
        "receipts": "chat_id, user_id", "audit": "stamp",
    ]
}
