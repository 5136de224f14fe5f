extension Schema {
    /// Presence: what users hide, and when they were last seen.
    static let presence = Migration(
        """
        ALTER TABLE users ADD COLUMN hides INTEGER NOT NULL DEFAULT 0; -- PresenceSharing
        ALTER TABLE users ADD COLUMN last_seen_ms INTEGER; -- in whole minutes; NULL: not known, or hidden
        """)
}
