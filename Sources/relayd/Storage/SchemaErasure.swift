extension Schema {
    /// Version 7: erasing users; since when keys are in use.
    static let erasure = Migration(
        """
        CREATE TABLE erasures (
            user_id INTEGER PRIMARY KEY,
            asked_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, -- when an operator asked for it, and when the grace is over
            uid INTEGER NOT NULL, -- of that operator
            began INTEGER NOT NULL DEFAULT 0, -- the stamp; 0: the grace goes on
            name TEXT, display_name TEXT, -- until the audit log no longer has them
            step INTEGER NOT NULL DEFAULT 0, -- ErasureStep
            first INTEGER NOT NULL DEFAULT 0, second INTEGER NOT NULL DEFAULT 0 -- how far the step is
        ) STRICT;
        CREATE TABLE erased_rows (
            user_id INTEGER NOT NULL, part TEXT NOT NULL, -- ErasedPart
            rows INTEGER NOT NULL, PRIMARY KEY (user_id, part)
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE prekeys ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0; -- when it was uploaded; 0: not known
        ALTER TABLE devices ADD COLUMN agreement_ms INTEGER NOT NULL DEFAULT 0; -- when the agreement key was last changed; 0: not known, or never
        """)
}
