import RelayModel

/// Looks through the whole store: reads the file once, beside the traffic.
package struct CheckStore: ControlOperation {
    package static let name = ControlOperationName.checkStore
    /// How long it may take at most; ``Limits/storeCheckSeconds`` when absent.
    package var seconds: Int?
    package init(seconds: Int? = nil) { self.seconds = seconds }

    package enum State: String, Codable, Sendable {
        case sound, damaged
        /// There was not time enough; nothing wrong was found until then.
        case unfinished
    }

    package struct Reply: Codable, Sendable, Equatable {
        package var state: State
        /// In SQLite's words, at most ``Limits/storeCheckProblems``.
        package var problems: [String]
        /// The schema of the file, and the one that relayd knows.
        package var schema: Int
        package var knownSchema: Int
        package var bytes: Int
        package var milliseconds: Int
        /// By how much the relay's newest stamp is ahead of its clock, beyond the second in which it is stored: it was started again at once, or
        /// the clock was set back.
        package var aheadMilliseconds: Int
        package init(
            state: State, problems: [String], schema: Int, knownSchema: Int, bytes: Int, milliseconds: Int, aheadMilliseconds: Int
        ) {
            self.state = state
            self.problems = problems
            self.schema = schema
            self.knownSchema = knownSchema
            self.bytes = bytes
            self.milliseconds = milliseconds
            self.aheadMilliseconds = aheadMilliseconds
        }
    }
}

/// How good the relay is, from best to worst.
package enum HealthState: String, Codable, Sendable {
    case ready
    /// It serves; something is wrong that an operator should see to.
    case degraded
    /// It does not serve clients: it starts, stops, or cannot read its store.
    case unready = "not_ready"
}

/// Whether the relay serves, for probes. Answers fast.
package struct Health: ControlOperation {
    package static let name = ControlOperationName.health
    package init() {}

    package struct Reply: Codable, Sendable, Equatable {
        package var state: HealthState
        package var reasons: [HealthReason]
        package init(reasons: [HealthReason]) {
            self.reasons = reasons
            state = reasons.contains { $0.state == .unready } ? .unready : reasons.isEmpty ? .ready : .degraded
        }
    }
}

/// Why the relay is not just ready.
package struct HealthReason: Codable, Sendable, Equatable {
    package enum Code: String, Codable, Sendable {
        case starting, stopping
        case storeUnreadable = "store_unreadable"
        case storeFailed = "store_failed"
        case overloaded
        case alert
    }

    package var code: Code
    package var text: String
    package init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    /// What it makes of the relay.
    package var state: HealthState {
        switch code {
        case .starting, .stopping, .storeUnreadable, .storeFailed: .unready
        case .overloaded, .alert: .degraded
        }
    }
}

/// One look at the relay for a live view.
///
/// Figures about messages are those of the snapshot that every reader of metrics sees, taken every ``Limits/metricInterval``. Only while so many
/// messages pass that no single one shows are they as of now; counts go in steps of ``Limits/metricMessageStep`` in any case. CPU time and memory
/// are as of now, which every user of the host can see in proc(5) anyway.
package struct Top: ControlOperation {
    package static let name = ControlOperationName.top
    package init() {}

    package struct Reply: Codable, Sendable, Equatable {
        package var at: Timestamp
        /// When the figures in ``metrics`` were taken.
        package var metricsAt: Timestamp
        /// Enough messages pass: ``metrics`` is as of now.
        package var isLive: Bool
        package var startedAt: Timestamp
        package var relayVersion: String
        package var cpuMicroseconds: Int
        package var residentBytes: Int
        package var processors: Int
        /// Alerts that go on.
        package var openAlerts: Int
        package var metrics: [MetricRecord]
        package init(
            at: Timestamp, metricsAt: Timestamp, isLive: Bool, startedAt: Timestamp, relayVersion: String, cpuMicroseconds: Int, residentBytes: Int,
            processors: Int, openAlerts: Int, metrics: [MetricRecord]
        ) {
            self.at = at
            self.metricsAt = metricsAt
            self.isLive = isLive
            self.startedAt = startedAt
            self.relayVersion = relayVersion
            self.cpuMicroseconds = cpuMicroseconds
            self.residentBytes = residentBytes
            self.processors = processors
            self.openAlerts = openAlerts
            self.metrics = metrics
        }
    }
}
