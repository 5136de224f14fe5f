import NIOCore
import RelayModel
import RelaySQLite

extension Schema {
    /// Version 2: one row a message instead of one and another for each member; groups, deletions, gap markers. Positions in mailboxes become
    /// message ids.
    static let oneRowAMessage = Migration(
        """
        ALTER TABLE chats RENAME TO old_chats;
        ALTER TABLE members RENAME TO old_members;
        ALTER TABLE messages RENAME TO old_messages;
        CREATE INDEX old_mailbox ON mailbox (chat_id, chat_seq, user_id);
        CREATE TABLE chats (
            chat_id INTEGER PRIMARY KEY, kind INTEGER NOT NULL,
            user_low INTEGER, user_high INTEGER, -- of a direct chat; the same twice: the user's notes
            member_count INTEGER NOT NULL,
            floor_seq INTEGER NOT NULL DEFAULT 0, floor_id INTEGER NOT NULL DEFAULT 0, -- the newest message that has expired
            UNIQUE (user_low, user_high)
        ) STRICT;
        CREATE TABLE members (
            chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, joined_seq INTEGER NOT NULL, joined_id INTEGER NOT NULL,
            left_seq INTEGER, left_id INTEGER, role INTEGER NOT NULL, PRIMARY KEY (chat_id, user_id, joined_seq)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE messages (
            chat_id INTEGER NOT NULL, seq INTEGER NOT NULL, message_id INTEGER NOT NULL, kind INTEGER NOT NULL,
            user_id INTEGER NOT NULL, device_id INTEGER NOT NULL, client_message_id INTEGER NOT NULL,
            extra BLOB, keys BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (chat_id, seq)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE message_keys (
            chat_id INTEGER NOT NULL, seq INTEGER NOT NULL, first_user_id INTEGER NOT NULL, keys BLOB NOT NULL,
            PRIMARY KEY (chat_id, seq, first_user_id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE hidden (
            user_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (user_id, chat_id, seq)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE progress (
            device_id INTEGER PRIMARY KEY, mailbox_seq INTEGER NOT NULL,
            client_message_id INTEGER NOT NULL -- highest accepted
        ) STRICT;
        INSERT INTO chats (chat_id, kind, user_low, user_high, member_count) SELECT chat_id, 0, user_low, user_high, 2 FROM old_chats;
        INSERT INTO members (chat_id, user_id, joined_seq, joined_id, role) SELECT chat_id, user_id, 1, chat_id, 1 FROM old_members;
        -- A cursor that points at nothing was set when the device was enrolled.
        INSERT INTO progress (device_id, mailbox_seq, client_message_id)
            SELECT device_id, coalesce(
                (SELECT message_id FROM mailbox b WHERE b.user_id = devices.user_id AND b.seq <= cursors.mailbox_seq ORDER BY b.seq DESC LIMIT 1),
                device_id), coalesce(client_message_id, 0)
            FROM devices LEFT JOIN cursors USING (device_id) LEFT JOIN senders USING (device_id) WHERE revoked = 0;
        """,
        convert: { database in
            let messages = try database.prepare(
                "SELECT chat_id, seq, message_id, user_id, device_id, client_message_id, body FROM old_messages ORDER BY chat_id, seq")
            let mailbox = try database.prepare("SELECT user_id, keys FROM mailbox WHERE chat_id = ? AND chat_seq = ? ORDER BY user_id")
            let insert = try database.prepare(
                """
                INSERT INTO messages (chat_id, seq, message_id, kind, user_id, device_id, client_message_id, keys, body)
                VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)
                """)
            while try messages.step() {
                mailbox.bind(1, messages.unsigned(0))
                mailbox.bind(2, messages.unsigned(1))
                var keys: [MemberKeys] = []
                while try mailbox.step() {
                    let packed = mailbox.withBytes(1) { PackedKeys(stored: ByteBuffer(bytes: $0)) }
                    if packed.bytes.readableBytes > 0 { keys.append(MemberKeys(user: UserID(mailbox.unsigned(0)), keys: packed)) }
                }
                mailbox.reset()
                var list = ByteBuffer()
                MemberKeyList.write(keys, to: &list)
                try insert.run { insert in
                    for column: Int32 in 0..<6 { insert.bind(column + 1, messages.integer(column)) }
                    list.withUnsafeReadableBytes { insert.bind(7, copying: $0) }
                    messages.withBytes(6) { insert.bind(8, copying: $0) }
                }
            }
        },
        cleanUp: """
            DROP TABLE old_messages;
            DROP TABLE old_members;
            DROP TABLE old_chats;
            DROP TABLE mailbox;
            DROP TABLE cursors;
            DROP TABLE senders;
            ALTER TABLE users DROP COLUMN mailbox_floor;
            CREATE INDEX members_by_user ON members (user_id, joined_id, left_seq, left_id);
            UPDATE users SET removed = 2 WHERE removed = 1 AND NOT EXISTS (SELECT 1 FROM members WHERE members.user_id = users.user_id);
            """)
}
