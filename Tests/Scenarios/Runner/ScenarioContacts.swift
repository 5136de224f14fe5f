import RelayClient
import RelayModel
import RelayTestSupport

/// The sentences about contacts and blocks.
extension ScenarioRun {
    func performContact(_ sentence: Sentence) async throws {
        switch sentence {
        case .decides(let name, let action, let user, let label):
            let device = try device(name)
            let id = try await device.session.decide(action, about: user, category: label)
            try await untilDecided(name, [id])
        case .failsToDecide(let name, let action, let user, let code):
            let device = try device(name)
            let id = try await device.session.decide(action, about: user)
            try await device.session.wait(forDecisions: [id], timeout: Self.patience)
            guard let refused = device.log.refusedDecisions.first(where: { $0.decision.id == id }) else { throw SupportFailure("it was accepted") }
            guard refused.refusal.code == code else { throw SupportFailure("it failed with \(refused.refusal.code): \(refused.refusal.message)") }
        case .seesContact(let name, let user, let state):
            try await waitFor("\(user) as \(state)", name, user) { ($0?.state ?? .none) == state }
        case .seesConflict(let name, let user, let wants, let relay):
            try await waitFor("a conflict about \(user)", name, user) { $0?.isInConflict == true && $0?.wanted == wants && $0?.relayState == relay }
        case .seesNoConflict(let name, let user):
            let session = try device(name).session
            try await session.wait(for: "the relay's answers", timeout: Self.patience) { session throws(ClientError) in
                try session.decisionsAreAnswered
            }
            let found = try await session.read { state throws(ClientError) in try state.contact(named: user) }
            guard found?.isInConflict != true else { throw SupportFailure("there is a conflict") }
        case .resolves(let name, let user, let resolution):
            let ids = try await device(name).session.resolve(user, resolution)
            try await untilDecided(name, ids)
        case .mayNotSend(let name, let text, let user, let code):
            let found: String
            do {
                try await device(name).session.send(text, to: user)
                throw SupportFailure("it was queued")
            } catch ClientError.youBlock { found = "you_block" } catch ClientError.blocked { found = "blocked" }
            guard found == code else { throw SupportFailure("it was refused with \(found)") }
        case .givesUp(let name, let text, let code):
            let device = try device(name)
            try await device.wait(for: "a dead letter", timeout: Self.patience) { $0.dead.contains { $0.text == text } }
            if let letter = device.log.dead.last(where: { $0.text == text }), letter.code != code {
                throw SupportFailure("it failed with \(letter.code): \(letter.reason)")
            }
        case .hides(let name, let text):
            let device = try device(name)
            try await device.session.wait(for: "“\(text)” to be kept", timeout: Self.patience) { session throws(ClientError) in
                try session.read { state throws(ClientError) in try state.history(hidden: true).contains { $0.text == text && $0.hidden } }
            }
            let shown = try await device.session.read { state throws(ClientError) in try state.history() }
            guard !device.log.shown.contains(where: { $0.text == text }), !shown.contains(where: { $0.text == text }) else {
                throw SupportFailure("it was shown")
            }
        default: throw SupportFailure("not a sentence about contacts")
        }
    }

    /// The relay did what was decided, when there is a way to it.
    private func untilDecided(_ name: DeviceName, _ ids: [Int64]) async throws {
        guard isConnected(name) else { return }
        let device = try device(name)
        try await device.session.wait(forDecisions: ids, timeout: Self.patience)
        if let refused = device.log.refusedDecisions.first(where: { ids.contains($0.decision.id) }) {
            throw SupportFailure("it was refused: \(refused.refusal.code), \(refused.refusal.message)")
        }
        guard ids.allSatisfy({ id in device.log.decided.contains { $0.id == id } }) else { throw SupportFailure("it is in conflict") }
    }

    private func waitFor(
        _ what: String, _ name: DeviceName, _ user: String, _ condition: @escaping @Sendable (KnownContact?) -> Bool
    ) async throws {
        let session = try device(name).session
        do {
            try await session.wait(for: what, timeout: Self.patience) { session throws(ClientError) in
                condition(try session.read { state throws(ClientError) in try state.contact(named: user) })
            }
        } catch {
            let found = try await session.read { state throws(ClientError) in try state.contact(named: user) }
            throw SupportFailure("\(error); it has \(found.map { "\($0)" } ?? "nothing")")
        }
    }
}
