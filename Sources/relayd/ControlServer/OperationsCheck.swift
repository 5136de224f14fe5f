import NIOCore
import RelayControl
import RelayMetrics
import RelayModel
import RelayStorage
import RelayTelemetry

/// What the daemon as a whole is doing.
package enum DaemonPhase: Sendable { case starting, serving, stopping }

// Checks and live views.
extension Operations {
    func checkStore(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(CheckStore.self, body) { request in
            let seconds = request.seconds ?? Limits.storeCheckSeconds
            guard (1...Limits.storeCheckSecondsCeiling).contains(seconds) else {
                throw ControlError(.badRequest, "the field “seconds” must be 1 to \(Limits.storeCheckSecondsCeiling), not \(seconds)")
            }
            let began = metrics.clock.nanoseconds()
            let check: StoreCheck
            do { check = try await store.check(within: .seconds(seconds)) } catch is StoreCheckError {
                throw ControlError(.tryAgain, "the store is being checked already", hint: "try again in a moment")
            }
            let took = Duration.nanoseconds(metrics.clock.nanoseconds() - began)
            let ahead = check.lastStamp.time.milliseconds - clock.now().milliseconds - 1000
            return CheckStore.Reply(
                state: !check.problems.isEmpty ? .damaged : check.isUnfinished ? .unfinished : .sound, problems: check.problems,
                schema: check.schema, knownSchema: check.knownSchema, bytes: store.bytes, milliseconds: Int(took.milliseconds),
                aheadMilliseconds: Int(max(0, ahead)))
        }
    }

    func health(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(Health.self, body) { _ in Health.Reply(reasons: await healthReasons()) }
    }

    func healthReasons() async -> [HealthReason] {
        var reasons: [HealthReason] = []
        switch settings.phase() {
        case .starting: reasons.append(HealthReason(.starting, "relayd is starting"))
        case .serving: break
        case .stopping: reasons.append(HealthReason(.stopping, "relayd is stopping"))
        }
        if store.writer.hasFailed {
            reasons.append(HealthReason(.storeFailed, "the disk failed, nothing is accepted"))
        } else if !(await canReadStore()) {
            reasons.append(HealthReason(.storeUnreadable, "the store does not answer"))
        }
        let queued = store.writer.statistics.queued
        if queued >= Limits.writerCrowd {
            reasons.append(HealthReason(.overloaded, "at least \(Limits.writerCrowd) commands wait for the disk"))
        }
        for row in await alerts.rows where row.overAt == nil {
            let rule = alerts.rule(of: row.kind)
            if rule.severity == .critical { reasons.append(HealthReason(.alert, "alert \(row.kind.rawValue): \(rule.about)")) }
        }
        return reasons
    }

    /// A read that comes back in time. One that does not is left to itself.
    private func canReadStore() async -> Bool {
        let (answers, answer) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingOldest(1))
        store.readers.read({ try $0.answers() }, completion: { answer.yield((try? $0.get()) ?? false) })
        let timer = Task {
            try await Task.sleep(for: Limits.healthPatience)
            answer.yield(false)
        }
        defer { timer.cancel() }
        for await isGood in answers { return isGood }
        return false
    }

    func top(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(Top.self, body) { _ in
            let now = clock.now()
            let (snapshot, isLive) = metrics.look(at: now)
            return Top.Reply(
                at: now, metricsAt: snapshot.at, isLive: isLive, startedAt: settings.startedAt, relayVersion: relayVersion,
                cpuMicroseconds: ProcessFigures.cpuMicroseconds, residentBytes: ProcessFigures.residentBytes, processors: System.coreCount,
                openAlerts: await alerts.rows.count { $0.overAt == nil }, metrics: MetricsShow.Reply(snapshot).metrics)
        }
    }
}
