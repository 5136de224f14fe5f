import RelayCrypto
import RelayModel
import RelaySQLite

extension Schema {
    /// The operators' log becomes a chain of hashes, with what became of each operation. Nobody can change what was written, but take out what an erasure
    /// must; nobody can delete an entry before so many follow that it goes by itself: not by mistake, at least.
    static let audit = Migration(
        """
        ALTER TABLE audit RENAME TO old_audit;
        CREATE TABLE audit (
            stamp INTEGER PRIMARY KEY,
            number INTEGER NOT NULL, -- 1, 2, 3, …
            uid INTEGER NOT NULL, operation TEXT NOT NULL,
            result TEXT NOT NULL, -- done, or the code of the error
            missed INTEGER NOT NULL, -- refused and failed ones before it that were too many to write down
            subject TEXT NOT NULL, reason TEXT,
            salt BLOB, -- NULL: an erasure took something out of subject or reason
            commitment BLOB NOT NULL, -- hash of salt, subject and reason as they were
            hash BLOB NOT NULL -- of the one before, and all of this one but subject, reason and salt
        ) STRICT;
        """,
        convert: { database in
            let old = try database.prepare("SELECT stamp, uid, operation, subject, reason FROM old_audit ORDER BY stamp")
            let insert = try database.prepare(AuditEnd.insertion)
            var end = AuditEnd()
            while try old.step() {
                let actor = Actor(
                    uid: UInt32(truncatingIfNeeded: old.integer(1)), operation: old.text(2) ?? "", subject: old.text(3) ?? "", reason: old.text(4))
                try end.append(actor, at: Stamp(rawValue: old.unsigned(0)), with: insert)
            }
        },
        cleanUp: """
            DROP TABLE old_audit;
            DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - \(Limits.auditEntriesKept);
            CREATE TRIGGER audit_stays BEFORE UPDATE ON audit WHEN NEW.stamp <> OLD.stamp OR NEW.number <> OLD.number OR NEW.uid <> OLD.uid
                OR NEW.operation <> OLD.operation OR NEW.result <> OLD.result OR NEW.missed <> OLD.missed OR NEW.commitment <> OLD.commitment
                OR NEW.hash <> OLD.hash OR NEW.salt IS NOT NULL
            BEGIN SELECT RAISE(ABORT, 'what operators did stays written down'); END;
            CREATE TRIGGER audit_remains BEFORE DELETE ON audit
                WHEN OLD.number > (SELECT number FROM audit ORDER BY stamp DESC LIMIT 1) - \(Limits.auditEntriesKept)
            BEGIN SELECT RAISE(ABORT, 'what operators did stays written down'); END;
            """)
}
