import RelaySQLite

/// The writer's statements, prepared once.
struct Statements {
    let loadUser: Statement
    let loadActiveDevices: Statement
    let loadDevice: Statement
    let loadChat: Statement
    let loadMembers: Statement
    let loadInvite: Statement
    let countOpenInvites: Statement
    let findUserName: Statement
    let findChat: Statement
    let scanBack: Statement

    let insertUser: Statement
    let insertInvite: Statement
    let setInviteState: Statement
    let findEnrolled: Statement
    let insertDevice: Statement
    let revokeDevice: Statement
    let deleteCursor: Statement
    let deleteSender: Statement
    let clearUser: Statement
    let suspendUser: Statement
    let resumeUser: Statement
    let deleteInvites: Statement
    let deleteMailbox: Statement
    let raiseMailboxFloor: Statement
    let insertChat: Statement
    let insertMember: Statement
    let insertMessage: Statement
    let insertMailbox: Statement
    let writeCursor: Statement
    let writeSender: Statement
    let writeReceipt: Statement
    let writeLastStamp: Statement
    let insertAudit: Statement

    init(_ database: Database) throws(SQLiteError) {
        loadUser = try database.prepare(
            """
            SELECT removed, max(mailbox_floor, coalesce((SELECT max(seq) FROM mailbox WHERE mailbox.user_id = users.user_id), 0)), suspended
            FROM users WHERE user_id = ?
            """)
        loadActiveDevices = try database.prepare("SELECT device_id FROM devices WHERE user_id = ? AND revoked = 0 ORDER BY device_id")
        loadDevice = try database.prepare(
            """
            SELECT user_id, revoked, coalesce(client_message_id, 0), coalesce(mailbox_seq, 0)
            FROM devices LEFT JOIN senders USING (device_id) LEFT JOIN cursors USING (device_id) WHERE device_id = ?
            """)
        loadChat = try database.prepare(
            """
            SELECT max(seq_floor, coalesce((SELECT max(seq) FROM messages WHERE messages.chat_id = chats.chat_id), 0))
            FROM chats WHERE chat_id = ?
            """)
        loadMembers = try database.prepare(
            """
            SELECT user_id, coalesce(delivered_seq, 0), coalesce(read_seq, 0), coalesce(version, 0)
            FROM members LEFT JOIN receipts USING (chat_id, user_id) WHERE chat_id = ? ORDER BY user_id
            """)
        loadInvite = try database.prepare("SELECT invite_id, user_id, expires_ms, state FROM invites WHERE hash = ?")
        countOpenInvites = try database.prepare("SELECT count(*) FROM invites WHERE user_id = ? AND state = 0 AND expires_ms > ?")
        findUserName = try database.prepare("SELECT name FROM users WHERE name = ? OR user_id = ?")
        findChat = try database.prepare("SELECT chat_id FROM chats WHERE user_low = ? AND user_high = ?")
        // A device's client message ids rise with the chat's sequence, so the scan may stop at the first lower one.
        scanBack = try database.prepare(
            """
            SELECT seq, message_id, client_message_id FROM messages
            WHERE chat_id = ? AND device_id = ? AND client_message_id <= ? ORDER BY seq DESC LIMIT 1
            """)

        insertUser = try database.prepare("INSERT INTO users (user_id, name, display_name, avatar, no_limits) VALUES (?, ?, ?, ?, ?)")
        insertInvite = try database.prepare("INSERT INTO invites (invite_id, user_id, hash, expires_ms) VALUES (?, ?, ?, ?)")
        setInviteState = try database.prepare("UPDATE invites SET state = ?2 WHERE invite_id = ?1")
        findEnrolled = try database.prepare(
            "SELECT device_id FROM devices WHERE user_id = ? AND identity_key = ? AND agreement_key = ? AND revoked = 0")
        insertDevice = try database.prepare(
            "INSERT INTO devices (device_id, user_id, name, identity_key, agreement_key, agreement_signature) VALUES (?, ?, ?, ?, ?, ?)")
        revokeDevice = try database.prepare("UPDATE devices SET revoked = 1, name = '' WHERE device_id = ?")
        deleteCursor = try database.prepare("DELETE FROM cursors WHERE device_id = ?")
        deleteSender = try database.prepare("DELETE FROM senders WHERE device_id = ?")
        clearUser = try database.prepare(
            "UPDATE users SET removed = 1, name = NULL, display_name = NULL, avatar = NULL, suspended = 0, suspended_reason = NULL WHERE user_id = ?")
        // Suspended is suspended since the first time.
        suspendUser = try database.prepare(
            "UPDATE users SET suspended = CASE suspended WHEN 0 THEN ?2 ELSE suspended END, suspended_reason = ?3 WHERE user_id = ?1")
        resumeUser = try database.prepare("UPDATE users SET suspended = 0, suspended_reason = NULL WHERE user_id = ?")
        deleteInvites = try database.prepare("DELETE FROM invites WHERE user_id = ?")
        deleteMailbox = try database.prepare(
            "DELETE FROM mailbox WHERE user_id = ?1 AND seq IN (SELECT seq FROM mailbox WHERE user_id = ?1 ORDER BY seq LIMIT ?2)")
        raiseMailboxFloor = try database.prepare("UPDATE users SET mailbox_floor = ?2 WHERE user_id = ?1")
        insertChat = try database.prepare("INSERT INTO chats (chat_id, user_low, user_high) VALUES (?, ?, ?)")
        insertMember = try database.prepare("INSERT INTO members (chat_id, user_id) VALUES (?, ?)")
        insertMessage = try database.prepare(
            "INSERT INTO messages (chat_id, seq, message_id, user_id, device_id, client_message_id, body) VALUES (?, ?, ?, ?, ?, ?, ?)")
        insertMailbox = try database.prepare("INSERT INTO mailbox (user_id, seq, message_id, chat_id, chat_seq, keys) VALUES (?, ?, ?, ?, ?, ?)")
        writeCursor = try database.prepare(
            "INSERT INTO cursors (device_id, mailbox_seq) VALUES (?, ?) ON CONFLICT DO UPDATE SET mailbox_seq = excluded.mailbox_seq")
        writeSender = try database.prepare(
            "INSERT INTO senders (device_id, client_message_id) VALUES (?, ?) ON CONFLICT DO UPDATE SET client_message_id = excluded.client_message_id"
        )
        writeReceipt = try database.prepare(
            """
            INSERT INTO receipts (chat_id, user_id, delivered_seq, read_seq, version) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq, version = excluded.version
            """)
        writeLastStamp = try database.prepare(
            "INSERT INTO meta (key, value) VALUES ('last_stamp', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
        insertAudit = try database.prepare("INSERT INTO audit (stamp, uid, operation, subject, reason) VALUES (?, ?, ?, ?, ?)")
    }
}
