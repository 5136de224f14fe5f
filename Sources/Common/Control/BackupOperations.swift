import RelayModel

/// A backup in relayd's folder.
package struct BackupRecord: Codable, Sendable, Equatable {
    package var name: String
    package var bytes: Int
    /// Absent, as what follows, when the file is no whole backup.
    package var at: Timestamp?
    package var relayVersion: String?
    package var schema: Int?
    /// `operator`, or `upgrade`: before a new version changed the store.
    package var reason: String?
    /// Why it is none.
    package var problem: String?
    package init(
        name: String, bytes: Int, at: Timestamp? = nil, relayVersion: String? = nil, schema: Int? = nil, reason: String? = nil,
        problem: String? = nil
    ) {
        self.name = name
        self.bytes = bytes
        self.at = at
        self.relayVersion = relayVersion
        self.schema = schema
        self.reason = reason
        self.problem = problem
    }
}

/// Begins to make a backup. It goes on when nobody asks for it any more.
package struct BackupCreate: ControlOperation {
    package static let name = ControlOperationName.backupCreate
    /// For the operators' log.
    package var reason: String?
    package init(reason: String? = nil) { self.reason = reason }
    package struct Reply: Codable, Sendable {
        /// For ``BackupStatus``.
        package var run: Int
        package init(run: Int) { self.run = run }
    }
}

/// Begins to read a backup as a whole.
package struct BackupVerify: ControlOperation {
    package static let name = ControlOperationName.backupVerify
    /// In relayd's folder.
    package var backup: String
    package init(backup: String) { self.backup = backup }
    package typealias Reply = BackupCreate.Reply
}

/// How far a backup, or the reading of one, is.
package struct BackupStatus: ControlOperation {
    package static let name = ControlOperationName.backupStatus
    package var run: Int
    package init(run: Int) { self.run = run }

    package struct Progress: Codable, Sendable, Equatable {
        /// `copying` or `checking`.
        package var phase: String
        /// 0 to 1, of the phase.
        package var fraction: Double
        package init(phase: String, fraction: Double) {
            self.phase = phase
            self.fraction = fraction
        }
    }

    package struct Finished: Codable, Sendable, Equatable {
        package var backup: BackupRecord
        /// Where it is, on the relay's host.
        package var path: String
        /// Rows by table.
        package var rows: [String: Int]
        /// Sentences; empty when all is well.
        package var findings: [String]
        package var milliseconds: Int
        package init(backup: BackupRecord, path: String, rows: [String: Int], findings: [String], milliseconds: Int) {
            self.backup = backup
            self.path = path
            self.rows = rows
            self.findings = findings
            self.milliseconds = milliseconds
        }
    }

    package struct Reply: Codable, Sendable {
        package var progress: Progress?
        package var finished: Finished?
        package var failure: ControlError?
        package init(progress: Progress?, finished: Finished?, failure: ControlError?) {
            self.progress = progress
            self.finished = finished
            self.failure = failure
        }
    }
}

/// The backups in relayd's folder, the newest first.
package struct BackupList: ControlOperation {
    package static let name = ControlOperationName.backupList
    package init() {}
    package struct Reply: Codable, Sendable {
        package var folder: String
        package var backups: [BackupRecord]
        package init(folder: String, backups: [BackupRecord]) {
            self.folder = folder
            self.backups = backups
        }
    }
}

/// Deletes old backups. The newest whole one always stays.
package struct BackupPrune: ControlOperation {
    package static let name = ControlOperationName.backupPrune
    /// So many of the newest stay.
    package var keep: Int?
    /// What is not older stays.
    package var days: Int?
    package var dryRun: Bool?
    package var reason: String?
    package init(keep: Int?, days: Int?, dryRun: Bool? = nil, reason: String? = nil) {
        self.keep = keep
        self.days = days
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var removed: [BackupRecord]
        package var dryRun: Bool
        package init(removed: [BackupRecord], dryRun: Bool) {
            self.removed = removed
            self.dryRun = dryRun
        }
    }
}
