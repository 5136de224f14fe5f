extension Schema {
    /// Figures about people: what is being counted, under hashes, and what was published. Nobody can change or delete what was published, and with it
    /// what was spent of the privacy budget: not by mistake, at least.
    static let people = Migration(
        """
        CREATE TABLE people_periods ( -- open ones
            metric TEXT NOT NULL, start INTEGER NOT NULL, -- the first day, since 1970-01-01
            clamp INTEGER NOT NULL, epsilon INTEGER NOT NULL, -- thousandths
            bin INTEGER NOT NULL, threshold INTEGER NOT NULL, minimum_users INTEGER NOT NULL,
            key BLOB NOT NULL, -- of the hashes in people_tallies; dies with the period
            PRIMARY KEY (metric, start)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE people_tallies (
            metric TEXT NOT NULL, start INTEGER NOT NULL, person BLOB NOT NULL, -- keyed hash of a user
            part BLOB NOT NULL, -- keyed hash of what is counted once, such as a device; else empty
            tally INTEGER NOT NULL, PRIMARY KEY (metric, start, person, part)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE people_releases (
            metric TEXT NOT NULL, start INTEGER NOT NULL, state INTEGER NOT NULL, value INTEGER, -- with noise
            clamp INTEGER NOT NULL, epsilon INTEGER NOT NULL, bin INTEGER NOT NULL, threshold INTEGER NOT NULL,
            algorithm INTEGER NOT NULL, PRIMARY KEY (metric, start)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE people_gates ( -- were there enough users to publish anything?
            start INTEGER PRIMARY KEY, -- the first day of the week
            passes INTEGER NOT NULL, epsilon INTEGER NOT NULL, minimum_users INTEGER NOT NULL
        ) STRICT;
        CREATE TRIGGER people_releases_stay BEFORE UPDATE ON people_releases BEGIN SELECT RAISE(ABORT, 'what was published stays'); END;
        CREATE TRIGGER people_releases_remain BEFORE DELETE ON people_releases BEGIN SELECT RAISE(ABORT, 'what was published stays'); END;
        CREATE TRIGGER people_gates_stay BEFORE UPDATE ON people_gates BEGIN SELECT RAISE(ABORT, 'what was published stays'); END;
        CREATE TRIGGER people_gates_remain BEFORE DELETE ON people_gates BEGIN SELECT RAISE(ABORT, 'what was published stays'); END;
        """)
}
