import RelayModel

/// What an operator did, or tried to do.
package struct AuditRecord: Codable, Sendable, Equatable {
    /// 1, 2, 3, …
    package var number: Int
    package var at: Timestamp
    /// The caller's user id on this system.
    package var uid: UInt32
    package var operation: String
    /// `done`, or the code of the error.
    package var result: String
    /// Refused and failed ones before it that were too many to be written down; absent: none.
    package var missed: Int?
    /// What it was about: a user's name or an identifier. Empty when it failed and named no user that there was.
    package var subject: String
    package var reason: String?
    package init(
        number: Int, at: Timestamp, uid: UInt32, operation: String, result: String, missed: Int? = nil, subject: String, reason: String?
    ) {
        self.number = number
        self.at = at
        self.uid = uid
        self.operation = operation
        self.result = result
        self.missed = missed
        self.subject = subject
        self.reason = reason
    }
}

/// The newest changes first.
package struct AuditList: ControlOperation {
    package static let name = ControlOperationName.auditList
    /// 1 to 500; 100 when absent.
    package var limit: Int?
    /// Older ones are left out.
    package var since: Timestamp?
    /// For the next page: only entries with smaller numbers.
    package var before: Int?
    /// Only what failed or was refused.
    package var failed: Bool?
    package init(limit: Int? = nil, since: Timestamp? = nil, before: Int? = nil, failed: Bool? = nil) {
        self.limit = limit
        self.since = since
        self.before = before
        self.failed = failed
    }
    package struct Reply: Codable, Sendable {
        package var entries: [AuditRecord]
        package init(entries: [AuditRecord]) { self.entries = entries }
    }
}

/// Recomputes the chain of hashes of the operators' log.
package struct AuditVerify: ControlOperation {
    package static let name = ControlOperationName.auditVerify
    package init() {}
    package struct Reply: Codable, Sendable {
        package var entries: Int
        /// Numbers of the oldest and the newest one that are kept; absent: there is none.
        package var first: Int?
        package var last: Int?
        package var lastAt: Timestamp?
        /// Of which an erasure took something out.
        package var erased: Int
        /// Of the last entry, hexadecimal: written down elsewhere it shows later whether the end of the log was cut off.
        package var hash: String
        /// Sentences; empty when all is well.
        package var findings: [String]
        package init(entries: Int, first: Int?, last: Int?, lastAt: Timestamp?, erased: Int, hash: String, findings: [String]) {
            self.entries = entries
            self.first = first
            self.last = last
            self.lastAt = lastAt
            self.erased = erased
            self.hash = hash
            self.findings = findings
        }
    }
}
