import RelayClient
import RelayModel
import RelayTestSupport

/// The sentences about presence.
extension ScenarioRun {
    func performPresence(_ sentence: Sentence) async throws {
        switch sentence {
        case .takesPart(let name, let isPart): try await device(name).session.takePart(isPart ? .watch : nil)
        case .findsPresence(let name, let wanted, let user):
            try await device(name).session.wait(for: "\(user) to be found \(wanted)", timeout: Self.patience) { session throws(ClientError) in
                // Nil until everything was told on this connection.
                guard let all = try session.presence else { return false }
                let found = all.first { $0.name == user }
                return switch wanted {
                case .online: found?.isOnline == true
                case .away: found?.isOnline == false && found?.lastSeen != nil
                case .nothing: found == nil
                }
            }
        case .sharesPresence(let name, let sharing):
            try await device(name).session.sharePresence(status: sharing.status, lastSeen: sharing.lastSeen)
        default: throw SupportFailure("not a sentence about presence")
        }
    }
}
