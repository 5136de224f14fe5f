extension Schema {
    /// Version 5: contacts. Those who have written to each other are contacts already.
    static let contacts = Migration(
        """
        CREATE TABLE contacts (
            user_id INTEGER NOT NULL, peer_id INTEGER NOT NULL,
            relation INTEGER NOT NULL, blocks INTEGER NOT NULL, is_blocked INTEGER NOT NULL, -- ContactEdge, from the user's side
            category TEXT NOT NULL DEFAULT '',
            decided INTEGER NOT NULL DEFAULT 0, -- the version of the last change that the user, or an operator for them, made
            version INTEGER NOT NULL, -- 0: the user was never told anything of it
            PRIMARY KEY (user_id, peer_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX contacts_by_version ON contacts (user_id, version);
        ALTER TABLE users ADD COLUMN contacts_floor INTEGER NOT NULL DEFAULT 0; -- the newest ended contact that is forgotten
        INSERT INTO contacts (user_id, peer_id, relation, blocks, is_blocked, version)
            SELECT user_low, user_high, 5, 0, 0, chat_id FROM chats WHERE kind = 0;
        INSERT INTO contacts (user_id, peer_id, relation, blocks, is_blocked, version)
            SELECT user_high, user_low, 5, 0, 0, chat_id FROM chats WHERE kind = 0;
        """)
}
