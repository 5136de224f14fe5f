extension Schema {
    /// Retention: its policies, and the proof of what was purged.
    static let retention = Migration(
        """
        CREATE TABLE retention_policies (
            class TEXT PRIMARY KEY, -- of users; '': all others
            delivered_days INTEGER, undelivered_days INTEGER, user_bytes INTEGER, once_delivered INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE users ADD COLUMN retention_class TEXT;
        CREATE TABLE purges (
            stamp INTEGER PRIMARY KEY,
            entry TEXT NOT NULL, -- PurgeEntry, as it was hashed
            hash BLOB NOT NULL
        ) STRICT;
        """)
}
