extension Schema {
    /// Version 6: prekeys, and agreement keys that change.
    static let keys = Migration(
        """
        ALTER TABLE devices ADD COLUMN agreement_version INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE users ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0; -- the stamp of the last change of their devices' keys
        CREATE TABLE prekeys (
            device_id INTEGER NOT NULL,
            kind INTEGER NOT NULL, -- StoredKeyKind
            key_id INTEGER NOT NULL, -- of an agreement key its version
            key BLOB NOT NULL, signature BLOB NOT NULL,
            expires_ms INTEGER, -- null: in use; otherwise it was replaced and is valid before this
            PRIMARY KEY (device_id, kind, key_id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE one_time_prekeys (
            device_id INTEGER NOT NULL, key_id INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (device_id, key_id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE key_progress (
            device_id INTEGER PRIMARY KEY,
            highest_one_time_id INTEGER NOT NULL, -- ever uploaded, so that none is used twice
            changes INTEGER NOT NULL, window_ms INTEGER NOT NULL -- how often the keys changed since then
        ) STRICT;
        """)
}
