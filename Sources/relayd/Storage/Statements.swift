import RelaySQLite

/// The writer's statements, prepared once.
struct Statements {
    let loadUser: Statement
    let loadActiveDevices: Statement
    let loadDevice: Statement
    let loadChat: Statement
    let loadMembers: Statement
    let loadReceipt: Statement
    let loadInvite: Statement
    let countOpenInvites: Statement
    let countChats: Statement
    let findUserName: Statement
    let findChat: Statement
    let findCreated: Statement
    let scanBack: Statement
    let findMessage: Statement

    let insertUser: Statement
    let insertInvite: Statement
    let setInviteState: Statement
    let findEnrolled: Statement
    let insertDevice: Statement
    let revokeDevice: Statement
    let deleteProgress: Statement
    let clearUser: Statement
    let suspendUser: Statement
    let resumeUser: Statement
    let deleteInvites: Statement
    let insertChat: Statement
    let writeMemberCount: Statement
    let insertMember: Statement
    let endMembership: Statement
    let writeRole: Statement
    let insertMessage: Statement
    let insertKeys: Statement
    let emptyMessage: Statement
    let deleteKeys: Statement
    let hideMessage: Statement
    let findExpired: Statement
    let expireMessages: Statement
    let expireKeys: Statement
    let expireHidden: Statement
    let writeFloor: Statement
    let findGroupOfUser: Statement
    let findDeserted: Statement
    let finishUser: Statement
    let writeProgress: Statement
    let writeReceipt: Statement
    let writeLastStamp: Statement
    let insertAudit: Statement

    let loadContact: Statement
    let loadContactVersion: Statement
    let loadBlocked: Statement
    let listContacts: Statement
    let countContacts: Statement
    let countContactRequests: Statement
    let findEndedContact: Statement
    let findSharedGroups: Statement
    let writeContact: Statement
    let writeContactEdge: Statement
    let deleteEndedContacts: Statement
    let raiseContactsFloor: Statement
    let raiseAllContactsFloors: Statement
    let listUntoldBlocks: Statement
    let deleteContacts: Statement
    let writeContactPolicy: Statement

    init(_ database: Database) throws(SQLiteError) {
        loadUser = try database.prepare(
            "SELECT removed, suspended != 0 OR EXISTS (SELECT 1 FROM erasures WHERE erasures.user_id = users.user_id), no_limits FROM users WHERE user_id = ?"
        )
        loadActiveDevices = try database.prepare(
            "SELECT device_id, agreement_version FROM devices WHERE user_id = ? AND revoked = 0 ORDER BY device_id")
        loadDevice = try database.prepare(
            """
            SELECT user_id, revoked, coalesce(client_message_id, 0), coalesce(mailbox_seq, 0)
            FROM devices LEFT JOIN progress USING (device_id) WHERE device_id = ?
            """)
        loadChat = try database.prepare(
            """
            SELECT kind, max(floor_seq, coalesce((SELECT max(seq) FROM messages WHERE messages.chat_id = chats.chat_id), 0))
            FROM chats WHERE chat_id = ?
            """)
        loadMembers = try database.prepare(
            """
            SELECT user_id, role, joined_seq, coalesce(delivered_seq, 0), coalesce(read_seq, 0), coalesce(version, 0)
            FROM members LEFT JOIN receipts USING (chat_id, user_id) WHERE chat_id = ? AND left_seq IS NULL ORDER BY user_id
            """)
        loadReceipt = try database.prepare("SELECT delivered_seq, read_seq, version FROM receipts WHERE chat_id = ? AND user_id = ?")
        loadInvite = try database.prepare("SELECT invite_id, user_id, expires_ms, state FROM invites WHERE hash = ?")
        countOpenInvites = try database.prepare("SELECT count(*) FROM invites WHERE user_id = ? AND state = 0 AND expires_ms > ?")
        countChats = try database.prepare("SELECT count(*) FROM members WHERE user_id = ?")
        findUserName = try database.prepare("SELECT name FROM users WHERE name = ? OR user_id = ?")
        findChat = try database.prepare("SELECT chat_id FROM chats WHERE user_low = ? AND user_high = ?")
        // A retried CREATE does not know its chat: the groups that the user made are few.
        findCreated = try database.prepare(
            """
            SELECT m.chat_id, m.seq, m.message_id FROM members s JOIN messages m ON m.chat_id = s.chat_id AND m.seq = 1
            WHERE s.user_id = ?1 AND s.joined_seq = 1 AND m.kind = 1 AND m.device_id = ?2 AND m.client_message_id = ?3
            """)
        scanBack = try database.prepare(FirstAnswer.sql)
        findMessage = try database.prepare("SELECT user_id, kind FROM messages WHERE chat_id = ? AND seq = ?")

        insertUser = try database.prepare("INSERT INTO users (user_id, name, display_name, avatar, no_limits) VALUES (?, ?, ?, ?, ?)")
        insertInvite = try database.prepare("INSERT INTO invites (invite_id, user_id, hash, expires_ms) VALUES (?, ?, ?, ?)")
        setInviteState = try database.prepare("UPDATE invites SET state = ?2 WHERE invite_id = ?1")
        findEnrolled = try database.prepare(
            "SELECT device_id FROM devices WHERE user_id = ? AND identity_key = ? AND agreement_key = ? AND revoked = 0")
        insertDevice = try database.prepare(
            "INSERT INTO devices (device_id, user_id, name, identity_key, agreement_key, agreement_signature) VALUES (?, ?, ?, ?, ?, ?)")
        revokeDevice = try database.prepare("UPDATE devices SET revoked = 1, name = '' WHERE device_id = ?")
        deleteProgress = try database.prepare("DELETE FROM progress WHERE device_id = ?")
        clearUser = try database.prepare(
            """
            UPDATE users SET removed = 1, name = NULL, display_name = NULL, avatar = NULL, suspended = 0, suspended_reason = NULL,
                retention_class = NULL, hides = 0, last_seen_ms = NULL WHERE user_id = ?
            """)
        // Suspended is suspended since the first time.
        suspendUser = try database.prepare(
            "UPDATE users SET suspended = CASE suspended WHEN 0 THEN ?2 ELSE suspended END, suspended_reason = ?3 WHERE user_id = ?1")
        resumeUser = try database.prepare("UPDATE users SET suspended = 0, suspended_reason = NULL WHERE user_id = ?")
        deleteInvites = try database.prepare("DELETE FROM invites WHERE user_id = ?")
        insertChat = try database.prepare("INSERT INTO chats (chat_id, kind, user_low, user_high, member_count) VALUES (?, ?, ?, ?, ?)")
        writeMemberCount = try database.prepare("UPDATE chats SET member_count = ?2 WHERE chat_id = ?1")
        insertMember = try database.prepare("INSERT INTO members (chat_id, user_id, joined_seq, joined_id, role) VALUES (?, ?, ?, ?, ?)")
        endMembership = try database.prepare(
            "UPDATE members SET left_seq = ?3, left_id = ?4 WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL")
        writeRole = try database.prepare("UPDATE members SET role = ?3 WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL")
        insertMessage = try database.prepare(
            """
            INSERT INTO messages (chat_id, seq, message_id, kind, user_id, device_id, client_message_id, extra, keys, body)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        insertKeys = try database.prepare("INSERT INTO message_keys (chat_id, seq, first_user_id, keys) VALUES (?, ?, ?, ?)")
        emptyMessage = try database.prepare("UPDATE messages SET kind = 3, extra = NULL, keys = x'', body = x'' WHERE chat_id = ? AND seq = ?")
        deleteKeys = try database.prepare("DELETE FROM message_keys WHERE chat_id = ? AND seq = ?")
        hideMessage = try database.prepare("INSERT INTO hidden (user_id, chat_id, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        findExpired = try database.prepare(
            """
            SELECT max(seq), max(message_id), count(*)
            FROM (SELECT seq, message_id FROM messages WHERE chat_id = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
            """)
        expireMessages = try database.prepare("DELETE FROM messages WHERE chat_id = ? AND seq <= ?")
        expireKeys = try database.prepare("DELETE FROM message_keys WHERE chat_id = ? AND seq <= ?")
        expireHidden = try database.prepare(
            "DELETE FROM hidden WHERE chat_id = ?1 AND seq <= ?2 AND user_id IN (SELECT user_id FROM members WHERE chat_id = ?1)")
        writeFloor = try database.prepare("UPDATE chats SET floor_seq = ?2, floor_id = ?3 WHERE chat_id = ?1")
        findGroupOfUser = try database.prepare(
            """
            SELECT members.chat_id FROM members JOIN chats USING (chat_id) WHERE members.user_id = ? AND left_seq IS NULL AND kind = 1 LIMIT 1
            """)
        // A chat of the user in which nobody is left who could receive anything, and that still has messages.
        findDeserted = try database.prepare(
            """
            SELECT s.chat_id FROM members s WHERE s.user_id = ?
                AND NOT EXISTS (SELECT 1 FROM members o JOIN users u USING (user_id) WHERE o.chat_id = s.chat_id AND u.removed = 0)
                AND EXISTS (SELECT 1 FROM messages m WHERE m.chat_id = s.chat_id) LIMIT 1
            """)
        finishUser = try database.prepare("UPDATE users SET removed = 2 WHERE user_id = ?")
        writeProgress = try database.prepare(
            """
            INSERT INTO progress (device_id, mailbox_seq, client_message_id) VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET mailbox_seq = excluded.mailbox_seq, client_message_id = excluded.client_message_id
            """)
        writeReceipt = try database.prepare(
            """
            INSERT INTO receipts (chat_id, user_id, delivered_seq, read_seq, version) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq, version = excluded.version
            """)
        writeLastStamp = try database.prepare(
            "INSERT INTO meta (key, value) VALUES ('last_stamp', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
        insertAudit = try database.prepare(AuditEnd.insertion)

        loadContact = try database.prepare(
            "SELECT relation, blocks, is_blocked, category, decided FROM contacts WHERE user_id = ? AND peer_id = ?")
        loadContactVersion = try database.prepare("SELECT version FROM contacts WHERE user_id = ? AND peer_id = ?")
        loadBlocked = try database.prepare("SELECT peer_id FROM contacts WHERE user_id = ? AND (blocks OR is_blocked)")
        listContacts = try database.prepare("SELECT peer_id FROM contacts WHERE user_id = ?")
        // Numbers of ContactEdge.Relation: 0 none, 2 is asked, 3 ignores.
        countContacts = try database.prepare("SELECT count(*) FROM contacts WHERE user_id = ? AND (blocks OR relation NOT IN (0, 2, 3))")
        countContactRequests = try database.prepare("SELECT count(*) FROM contacts WHERE user_id = ? AND relation IN (2, 3)")
        findEndedContact = try database.prepare(
            """
            SELECT version FROM contacts WHERE user_id = ? AND relation = 0 AND NOT blocks AND NOT is_blocked
            ORDER BY version DESC LIMIT 1 OFFSET ?
            """)
        findSharedGroups = try database.prepare(
            """
            SELECT mine.chat_id FROM members mine JOIN members theirs USING (chat_id) JOIN chats USING (chat_id)
            WHERE mine.user_id = ?1 AND mine.left_seq IS NULL AND theirs.user_id = ?2 AND theirs.left_seq IS NULL AND kind = 1
            ORDER BY mine.chat_id LIMIT ?3
            """)
        writeContact = try database.prepare(
            """
            INSERT INTO contacts (user_id, peer_id, relation, blocks, is_blocked, category, decided, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET relation = excluded.relation, blocks = excluded.blocks, is_blocked = excluded.is_blocked,
                category = excluded.category, decided = excluded.decided, version = excluded.version
            """)
        writeContactEdge = try database.prepare(
            """
            INSERT INTO contacts (user_id, peer_id, relation, blocks, is_blocked, version) VALUES (?, ?, ?, ?, ?, 0)
            ON CONFLICT DO UPDATE SET relation = excluded.relation, blocks = excluded.blocks, is_blocked = excluded.is_blocked
            """)
        deleteEndedContacts = try database.prepare(
            "DELETE FROM contacts WHERE user_id = ? AND version <= ? AND relation = 0 AND NOT blocks AND NOT is_blocked")
        raiseContactsFloor = try database.prepare("UPDATE users SET contacts_floor = max(contacts_floor, ?2) WHERE user_id = ?1")
        deleteContacts = try database.prepare("DELETE FROM contacts WHERE user_id = ?")
        raiseAllContactsFloors = try database.prepare("UPDATE users SET contacts_floor = max(contacts_floor, ?)")
        // Nobody else's number, and older than all that a client can have seen.
        listUntoldBlocks = try database.prepare("UPDATE contacts SET version = peer_id WHERE version = 0 AND is_blocked")
        writeContactPolicy = try database.prepare(
            "INSERT INTO meta (key, value) VALUES ('contact_policy', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
    }
}
