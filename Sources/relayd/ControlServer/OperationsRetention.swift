import NIOCore
import RelayControl
import RelayCrypto
import RelayDirectory
import RelayModel
import RelayRetention
import RelayStorage

// What the relay keeps, and for how long.
extension Operations {
    func retentionShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionShow.self, body) { _ in try await policies() }
    }

    func retentionSet(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionSet.self, body) { request in
            let name = try Self.className(request.className)
            if let policy = request.policy { try Self.check(policy) }
            let actor = try actor(caller, .retentionSet, name ?? "", request.reason)
            try await retaining(name ?? "") { () throws(RetentionError) in try await retention.set(request.policy, of: name ?? "", actor: actor) }
            note(.retentionSet, caller)
            return try await policies()
        }
    }

    func retentionAssign(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionAssign.self, body, subject: \.user) { request in
            let name = try Self.className(request.className)
            let user = try await directory.userRow(named: request.user)
            let actor = try actor(caller, .retentionAssign, request.user, request.reason)
            try await retaining(name ?? "") { () throws(RetentionError) in try await retention.assign(user.id, to: name, actor: actor) }
            note(.retentionAssign, caller)
            return RetentionAssign.Reply(user: user.name.text, className: name)
        }
    }

    func retentionPlan(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionPlan.self, body) { _ in
            RetentionPlan.Reply(try await retaining { () throws(RetentionError) in try await retention.plan() })
        }
    }

    func retentionPurge(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionPurge.self, body) { request in
            let actor = try actor(caller, .retentionPurge, "", request.reason)
            guard retention.progress == nil else { throw ControlError(.running, "") }
            try await directory.audit(actor)
            let run = try await retaining { () throws(RetentionError) in try await retention.begin() }
            note(.retentionPurge, caller)
            return RetentionPurge.Reply(run: run)
        }
    }

    func retentionStop(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionStop.self, body) { _ in
            let wasRunning = await retention.stop()
            try await directory.audit(try actor(caller, .retentionStop, ""))
            if wasRunning { note(.retentionStop, caller) }
            return RetentionStop.Reply(wasRunning: wasRunning)
        }
    }

    func retentionStatus(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionStatus.self, body) { request in
            // Before the store is read: of what has ended by now, ``lastPurge`` tells.
            var progress = retention.progress
            var finished: RetentionStatus.Finished?
            var failure: ControlError?
            if let run = request.run {
                let result: Result<PurgeReport, RetentionError>?
                (progress, result) = await retention.look(at: run)
                switch result {
                case .success(let report)?:
                    finished = RetentionStatus.Finished(
                        extent: RetentionPlan.Reply(report.extent), released: report.released, milliseconds: Int(report.took.milliseconds))
                case .failure(let error)?: failure = ControlError(error, "")
                case nil: break
                }
            }
            let (last, oldest, space) = try await retaining { () throws(RetentionError) in
                (try await retention.lastPurge(), try await retention.oldestMessage(), try await retention.space())
            }
            return RetentionStatus.Reply(
                progress: progress.map {
                    RetentionStatus.Progress(
                        phase: RetentionStatus.Phase(rawValue: $0.phase.rawValue) ?? .looking, startedAt: $0.startedAt, messages: $0.messages,
                        bytes: $0.bytes, fraction: $0.fraction)
                }, finished: finished, failure: failure, lastPurge: last?.at, oldestMessage: oldest.map { Stamp(rawValue: $0.rawValue).time },
                fileBytes: space.pages * space.pageBytes, freeBytes: space.free * space.pageBytes, givesBack: space.canRelease)
        }
    }

    func retentionVerify(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(RetentionVerify.self, body) { _ in
            let verdict = try await retaining { () throws(RetentionError) in try await retention.verify() }
            return RetentionVerify.Reply(
                purges: verdict.purges, lastPurge: verdict.lastPurge, hash: HexText.of(verdict.hash), findings: verdict.findings)
        }
    }

    private func policies() async throws(ControlError) -> RetentionShow.Reply {
        let (policies, users) = try await retaining { () throws(RetentionError) in (try await retention.policies(), try await retention.classes()) }
        return RetentionShow.Reply(
            classes: policies.sorted { $0.key < $1.key }.map { name, policy in
                RetentionClassRecord(name: name, users: name.isEmpty ? nil : users[name] ?? 0, policy: policy)
            })
    }

    private func retaining<Result>(_ name: String = "", _ body: () async throws(RetentionError) -> Result) async throws(ControlError) -> Result {
        do throws(RetentionError) { return try await body() } catch { throw ControlError(error, name) }
    }

    /// Lowercase letters, digits and hyphens, as names in configuration files are.
    private static func className(_ name: String?) throws(ControlError) -> String? {
        guard let name else { return nil }
        let allowed = name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
        guard !name.isEmpty, name.utf8.count <= Limits.retentionClassCharacters, allowed else {
            throw ControlError(
                .badRequest, "a class's name has 1 to \(Limits.retentionClassCharacters) lowercase letters, digits and hyphens",
                hint: "chatctl retention show lists those that there are")
        }
        return name
    }

    private static func check(_ policy: RetentionPolicy) throws(ControlError) {
        for (field, days) in [("deliveredDays", policy.deliveredDays), ("undeliveredDays", policy.undeliveredDays)] {
            if let days, !RetentionPolicy.days.contains(days) {
                throw ControlError(
                    .badRequest, "the field “\(field)” must be \(RetentionPolicy.days.lowerBound) to \(RetentionPolicy.days.upperBound), not \(days)",
                    hint: "without it messages do not go by that rule")
            }
        }
        if let bytes = policy.userBytes, !RetentionPolicy.bytes.contains(bytes) {
            throw ControlError(
                .badRequest, "the field “userBytes” must be \(RetentionPolicy.bytes.lowerBound) to \(RetentionPolicy.bytes.upperBound), not \(bytes)",
                hint: "without it users may have as much as they like")
        }
        // What goes is always the beginning of a chat: nothing delivered can stay before something undelivered that goes.
        if let undelivered = policy.undeliveredDays, (policy.deliveredDays ?? .max) > undelivered {
            let delivered = policy.deliveredDays.map { "for \($0) days" } ?? "for ever"
            throw ControlError(
                .badRequest, "delivered messages would stay \(delivered), and those that somebody waits for only \(undelivered) days",
                hint: "keep undelivered ones at least as long, with --undelivered")
        }
    }
}

extension RetentionPlan.Reply {
    init(_ extent: PurgeExtent) {
        self.init(
            at: extent.at, chats: extent.chats,
            rules: RetentionRule.allCases.map { rule in
                let share = extent.shares[rule] ?? RetentionShare()
                return RetentionRuleRecord(rule: rule, messages: share.messages, bytes: share.bytes)
            })
    }
}

extension ControlError {
    fileprivate init(_ error: RetentionError, _ name: String) {
        switch error {
        case .running: self.init(.tryAgain, "a purge is under way", hint: "chatctl retention status shows how far it is")
        case .stopped: self.init(.failed, "the purge was stopped; what went is gone", hint: "chatctl retention purge takes up what is left")
        case .classUnknown: self.init(.notFound, "there is no class \(name)", hint: "chatctl retention show lists those that there are")
        case .classLimitReached(let limit):
            self.init(.limitReached, "there are \(limit) classes, which is the limit", hint: "chatctl retention set --class NAME --remove")
        case .userUnknown: self.init(.notFound, "there is no such user any more", hint: "chatctl user list")
        case .overloaded: self.init(.tryAgain, "more changes wait for the disk than the relay holds", hint: "try again in a moment")
        case .stopping: self.init(.tryAgain, "relayd is stopping", hint: "systemctl status relayd says whether it comes back")
        case .storeFailed:
            self.init(.failed, "the store cannot be read or written", hint: "journalctl -u relayd says why; df -h, whether its disk is full")
        }
    }
}
