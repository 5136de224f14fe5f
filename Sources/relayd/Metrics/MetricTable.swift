import RelayModel

/// Every metric by its name. A case does not compile before ``Metrics`` measures it; a test wants its line in ``MetricTable`` and in
/// relayd-metrics(7).
package enum MetricName: String, CaseIterable, Sendable {
    case sends = "relayd_sends_total"
    case deliveries = "relayd_deliveries_total"
    case acknowledgements = "relayd_acknowledgements_total"
    case sendSeconds = "relayd_send_seconds"
    case undelivered = "relayd_undelivered_messages"
    case queueSeconds = "relayd_queue_seconds"
    case queueCommands = "relayd_queue_commands"
    case commitSeconds = "relayd_commit_seconds"
    case commitCommands = "relayd_commit_commands"
    case checkpointSeconds = "relayd_checkpoint_seconds"
    case logBytes = "relayd_wal_bytes"
    case storeBytes = "relayd_store_bytes"
    case storeFreeBytes = "relayd_store_free_bytes"
    case diskBytes = "relayd_disk_bytes"
    case diskFreeBytes = "relayd_disk_free_bytes"
    case diskFreeInodes = "relayd_disk_free_inodes"
    case purgeRunning = "relayd_purge_running"
    case purgeProgress = "relayd_purge_progress_ratio"
    case connections = "relayd_connections"
    case requests = "relayd_requests_total"
    case signIns = "relayd_signins_total"
    case rateLimited = "relayd_rate_limited_total"
    case certificateDays = "relayd_certificate_days"
    case alerts = "relayd_alerts_total"
    case loopLagSeconds = "relayd_event_loop_lag_seconds"
    case openFiles = "relayd_open_files"
    case openFilesLimit = "relayd_open_files_limit"
    case residentBytes = "relayd_resident_memory_bytes"
    case cpuSeconds = "relayd_cpu_seconds_total"
    case startTime = "relayd_start_time_seconds"
    case metricsTime = "relayd_metrics_time_seconds"
    case buildInfo = "relayd_build_info"
}

/// What is known of a metric before it is measured.
package struct MetricDefinition: Sendable {
    package enum Kind: String, Sendable { case counter, gauge, histogram }
    package enum Group: String, Sendable, CaseIterable { case messages, store, connections, process }

    package var name: MetricName
    package var kind: Kind
    package var group: Group
    package var labels: [any MetricLabel.Type]
    /// One sentence without its full stop.
    package var help: String

    fileprivate init(_ name: MetricName, _ kind: Kind, _ group: Group, _ labels: [any MetricLabel.Type], _ help: String) {
        self.name = name
        self.kind = kind
        self.group = group
        self.labels = labels
        self.help = help
    }

    fileprivate init(_ name: MetricName, _ kind: Kind, _ group: Group, _ help: String) { self.init(name, kind, group, [], help) }

    /// Of build information: the one label whose values are not in a list.
    package var isInformation: Bool { name == .buildInfo }
}

/// The truth about metrics: names in base units, types, labels with their closed sets of values, and what they mean.
package enum MetricTable {
    package static let all: [MetricDefinition] = [
        MetricDefinition(
            .sends, .counter, .messages, [SendResult.self],
            "Messages, changes of groups and deletions that devices asked for, by what became of them; accepted and repeated in steps of 1,024"
        ),
        MetricDefinition(.deliveries, .counter, .messages, "Envelopes that were handed to the sockets of devices, in steps of 1,024"),
        MetricDefinition(
            .acknowledgements, .counter, .messages, "Acknowledgements of devices that were stored, in steps of 1,024; one covers everything before it"
        ),
        MetricDefinition(
            .sendSeconds, .histogram, .messages, "From the arrival of a batch's first message until its answers are handed to the sockets"),
        MetricDefinition(
            .undelivered, .gauge, .messages,
            "Messages that some device has yet to get, rounded up to a power of two; counted in rounds over the store"),
        MetricDefinition(.queueSeconds, .histogram, .store, "How long the first command of a batch waited for its commit to begin"),
        MetricDefinition(.queueCommands, .gauge, .store, "Commands that wait for the writer, rounded up to a power of two"),
        MetricDefinition(.commitSeconds, .histogram, .store, "Commits, from the first row to the end of the flush"),
        MetricDefinition(.commitCommands, .histogram, .store, "Commands in a commit"),
        MetricDefinition(.checkpointSeconds, .histogram, .store, "Copies of the write-ahead log into the database"),
        MetricDefinition(.logBytes, .gauge, .store, "Size of the write-ahead log's file"),
        MetricDefinition(.storeBytes, .gauge, .store, "Size of the database's file"),
        MetricDefinition(.storeFreeBytes, .gauge, .store, "Pages of the database's file that are free"),
        MetricDefinition(.diskBytes, .gauge, .store, "Size of the file system that the store lies in"),
        MetricDefinition(.diskFreeBytes, .gauge, .store, "What relayd may still fill of it"),
        MetricDefinition(.diskFreeInodes, .gauge, .store, "Files that may still be made in it"),
        MetricDefinition(.purgeRunning, .gauge, .store, "1 while a purge is under way"),
        MetricDefinition(.purgeProgress, .gauge, .store, "How far the purge is, 0 to 1; 0 when none is under way"),
        MetricDefinition(.connections, .gauge, .connections, [ConnectionKind.self], "Open connections of clients, rounded up to a power of two"),
        MetricDefinition(
            .requests, .counter, .connections, [RequestRoute.self, StatusClass.self], "Answers to REST requests, by route and class of status"),
        MetricDefinition(.signIns, .counter, .connections, [SignInResult.self], "Requests for tokens, by what became of them"),
        MetricDefinition(.rateLimited, .counter, .connections, [RateLimitKind.self], "What was refused because a limit was met"),
        MetricDefinition(
            .certificateDays, .gauge, .connections,
            "Whole days until the certificate for TLS ends, negative when it has ended; absent without TLS"),
        MetricDefinition(.alerts, .counter, .process, [AlertKind.self], "Alerts that were raised"),
        MetricDefinition(.loopLagSeconds, .histogram, .process, "How late the event loops run what is due; each is asked once a second"),
        MetricDefinition(.openFiles, .gauge, .process, "Open file descriptors, rounded up to a power of two"),
        MetricDefinition(.openFilesLimit, .gauge, .process, "How many file descriptors there may be"),
        MetricDefinition(.residentBytes, .gauge, .process, "Resident memory"),
        MetricDefinition(.cpuSeconds, .counter, .process, "CPU time, in the program and in the kernel on its behalf"),
        MetricDefinition(.startTime, .gauge, .process, "When relayd was started, in seconds since 1970 (UTC)"),
        MetricDefinition(.metricsTime, .gauge, .process, "When these figures were taken, in seconds since 1970 (UTC)"),
        MetricDefinition(.buildInfo, .gauge, .process, "Always 1; the label version is relayd's"),
    ]

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    package static func definition(of name: MetricName) -> MetricDefinition {
        guard let found = byName[name] else { preconditionFailure("\(name.rawValue) has no line in the table") }
        return found
    }
}
