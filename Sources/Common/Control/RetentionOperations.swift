import RelayModel

/// A class of users with the policy that holds for it.
package struct RetentionClassRecord: Codable, Sendable, Equatable {
    /// Empty: all users without a class.
    package var name: String
    /// Absent for the users without a class.
    package var users: Int?
    package var policy: RetentionPolicy
    package init(name: String, users: Int?, policy: RetentionPolicy) {
        self.name = name
        self.users = users
        self.policy = policy
    }
}

/// The policies.
package struct RetentionShow: ControlOperation {
    package static let name = ControlOperationName.retentionShow
    package init() {}
    package struct Reply: Codable, Sendable {
        /// The one without a name first.
        package var classes: [RetentionClassRecord]
        package init(classes: [RetentionClassRecord]) { self.classes = classes }
    }
}

/// Changes a policy, makes a class, or removes one. Nothing goes before the next purge.
package struct RetentionSet: ControlOperation {
    package static let name = ControlOperationName.retentionSet
    /// Absent: all users without a class.
    package var className: String?
    /// Absent: the class is removed, and its users have none.
    package var policy: RetentionPolicy?
    /// For the audit log.
    package var reason: String?
    package init(className: String?, policy: RetentionPolicy?, reason: String? = nil) {
        self.className = className
        self.policy = policy
        self.reason = reason
    }
    package typealias Reply = RetentionShow.Reply
}

/// Puts a user into a class.
package struct RetentionAssign: ControlOperation {
    package static let name = ControlOperationName.retentionAssign
    package var user: String
    /// Absent: into none.
    package var className: String?
    package var reason: String?
    package init(user: String, className: String?, reason: String? = nil) {
        self.user = user
        self.className = className
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var user: String
        package var className: String?
        package init(user: String, className: String?) {
            self.user = user
            self.className = className
        }
    }
}

/// What goes by one rule.
package struct RetentionRuleRecord: Codable, Sendable, Equatable {
    package var rule: RetentionRule
    package var messages: Int
    /// Of bodies and keys.
    package var bytes: Int
    package init(rule: RetentionRule, messages: Int, bytes: Int) {
        self.rule = rule
        self.messages = messages
        self.bytes = bytes
    }
}

/// What a purge would take now.
package struct RetentionPlan: ControlOperation {
    package static let name = ControlOperationName.retentionPlan
    package static let patience = Limits.longControlPatience
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        package var at: Timestamp
        /// Chats of which something goes.
        package var chats: Int
        /// Every rule, also those by which nothing goes.
        package var rules: [RetentionRuleRecord]
        package init(at: Timestamp, chats: Int, rules: [RetentionRuleRecord]) {
            self.at = at
            self.chats = chats
            self.rules = rules
        }
        package var messages: Int { rules.reduce(0) { $0 + $1.messages } }
        package var bytes: Int { rules.reduce(0) { $0 + $1.bytes } }
    }
}

/// Begins a purge. ``RetentionStatus`` tells how far it is and how it ended. `try_again` while one is under way.
package struct RetentionPurge: ControlOperation {
    package static let name = ControlOperationName.retentionPurge
    package var reason: String?
    package init(reason: String? = nil) { self.reason = reason }
    package struct Reply: Codable, Sendable {
        /// Of this purge, since relayd started.
        package var run: Int
        package init(run: Int) { self.run = run }
    }
}

/// Ends the purge that is under way after its current step.
package struct RetentionStop: ControlOperation {
    package static let name = ControlOperationName.retentionStop
    package init() {}
    package struct Reply: Codable, Sendable {
        package var wasRunning: Bool
        package init(wasRunning: Bool) { self.wasRunning = wasRunning }
    }
}

/// How retention is.
package struct RetentionStatus: ControlOperation {
    package static let name = ControlOperationName.retentionStatus
    /// Also say how this purge ended.
    package var run: Int?
    package init(run: Int? = nil) { self.run = run }

    package enum Phase: String, Codable, Sendable { case looking, deleting, releasing }

    package struct Progress: Codable, Sendable, Equatable {
        package var phase: Phase
        package var startedAt: Timestamp
        package var messages: Int
        package var bytes: Int
        /// 0 to 1, of the time that goes.
        package var fraction: Double
        package init(phase: Phase, startedAt: Timestamp, messages: Int, bytes: Int, fraction: Double) {
            self.phase = phase
            self.startedAt = startedAt
            self.messages = messages
            self.bytes = bytes
            self.fraction = fraction
        }
    }

    package struct Finished: Codable, Sendable, Equatable {
        package var extent: RetentionPlan.Reply
        /// Bytes that the file system has back.
        package var released: Int
        package var milliseconds: Int
        package init(extent: RetentionPlan.Reply, released: Int, milliseconds: Int) {
            self.extent = extent
            self.released = released
            self.milliseconds = milliseconds
        }
    }

    package struct Reply: Codable, Sendable, Equatable {
        /// Absent when no purge, or not the one that was asked for, is under way.
        package var progress: Progress?
        /// Of the purge that was asked for; absent while it runs.
        package var finished: Finished?
        /// Why the purge that was asked for ended early.
        package var failure: ControlError?
        package var lastPurge: Timestamp?
        package var oldestMessage: Timestamp?
        /// The store's file, and how much of it is free.
        package var fileBytes: Int
        package var freeBytes: Int
        /// Free space goes back to the file system after a purge; a file that an old relayd made keeps it for new messages.
        package var givesBack: Bool
        package init(
            progress: Progress?, finished: Finished?, failure: ControlError?, lastPurge: Timestamp?, oldestMessage: Timestamp?, fileBytes: Int,
            freeBytes: Int, givesBack: Bool
        ) {
            self.progress = progress
            self.finished = finished
            self.failure = failure
            self.lastPurge = lastPurge
            self.oldestMessage = oldestMessage
            self.fileBytes = fileBytes
            self.freeBytes = freeBytes
            self.givesBack = givesBack
        }
    }
}

/// Recomputes the proof of purge and holds the store against it.
package struct RetentionVerify: ControlOperation {
    package static let name = ControlOperationName.retentionVerify
    package static let patience = Limits.longControlPatience
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        /// Entries of the proof.
        package var purges: Int
        package var lastPurge: Timestamp?
        /// Of the last entry, hexadecimal: written down elsewhere it shows later whether the end of the proof was cut off.
        package var hash: String
        /// Sentences; empty when all is well.
        package var findings: [String]
        package init(purges: Int, lastPurge: Timestamp?, hash: String, findings: [String]) {
            self.purges = purges
            self.lastPurge = lastPurge
            self.hash = hash
            self.findings = findings
        }
    }
}
