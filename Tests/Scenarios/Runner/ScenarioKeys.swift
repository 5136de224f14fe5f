import RelayClient
import RelayModel
import RelayTestSupport

/// The sentences about keys that change.
extension ScenarioRun {
    func performKeys(_ sentence: Sentence) async throws {
        switch sentence {
        case .rotates(let name, let grace, let forgetting):
            let session = try device(name).session
            try await session.replaceKey(grace: grace.map { .seconds($0) }, forgettingFormer: forgetting)
        case .knowsKey(let name, let version, let other):
            let (session, known) = (try device(name).session, try device(other).account)
            try await session.wait(for: "key \(version) of \(other)", timeout: Self.patience) { session throws(ClientError) in
                try session.read { state throws(ClientError) in
                    try state.devices(of: known.user).contains { $0.id == known.device && $0.agreementVersion == UInt32(version) }
                }
            }
        case .keepsKeys(let name, let versions):
            let session = try device(name).session
            let wanted = versions.map { UInt32($0) }
            try await session.wait(for: "the keys \(versions)", timeout: Self.patience) { $0.agreementKeys.compactMap(\.version) == wanted }
        case .cannotRead(let name, let user):
            let from = unreadable[name, default: 0]
            let device = try device(name)
            try await device.wait(for: "a message that it cannot read", timeout: Self.patience) { $0.unreadable.count > from }
            let entry = device.log.unreadable[from]
            guard entry.senderName == user, entry.problem?.hasPrefix(HistoryEntry.unopened) == true else {
                throw SupportFailure("it is a message from \(entry.senderName ?? "somebody"): \(entry.problem ?? "no problem")")
            }
            unreadable[name] = from + 1
        case .recovers(let name, let text, let user):
            let device = try device(name)
            try await device.wait(for: "“\(text)” to come again", timeout: Self.patience) {
                $0.recovered.contains { $0.text == text && $0.senderName == user }
            }
            let kept = try await device.session.read { state throws(ClientError) in try state.history() }
            guard kept.contains(where: { $0.text == text && $0.problem == nil && $0.senderName == user }) else {
                throw SupportFailure("it is not in the history")
            }
        default: throw SupportFailure("not a sentence about keys")
        }
    }
}
