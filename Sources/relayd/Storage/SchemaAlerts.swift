extension Schema {
    /// What operators should know, and how busy the relay was.
    static let alerts = Migration(
        """
        CREATE TABLE alerts (
            alert_id INTEGER PRIMARY KEY, kind TEXT NOT NULL,
            user_id INTEGER, device_id INTEGER, -- whom it is about; neither: the relay itself
            count INTEGER NOT NULL, figure INTEGER NOT NULL,
            first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, over_ms INTEGER, acknowledged_ms INTEGER
        ) STRICT;
        CREATE TABLE load_days (
            day INTEGER PRIMARY KEY, minutes INTEGER NOT NULL, busiest INTEGER NOT NULL, failures INTEGER NOT NULL,
            undelivered INTEGER NOT NULL, store_bytes INTEGER NOT NULL
        ) STRICT;
        """)
}
