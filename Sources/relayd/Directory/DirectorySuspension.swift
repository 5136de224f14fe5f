import Glibc
import RelayModel
import RelayStorage

// A suspended user can neither send nor connect; what is sent to them waits in their mailbox.
extension Directory {
    /// Connections of the user's devices are closing and their tokens are refused when this returns. A second time changes the reason only.
    package func suspendUser(named name: String, reason: String, actor: Actor) async throws(DirectoryError) -> UserDetails {
        let user = try await find(name).id
        try await suspend(user, try Directory.checked(reason, "reason", characters: Limits.reasonCharacters), actor)
        return try await self.user(user)
    }

    /// What waited in the mailbox is delivered when the devices connect again. Resuming a user who is not suspended is fine.
    package func resumeUser(named name: String, actor: Actor) async throws(DirectoryError) -> UserDetails {
        let user = try await find(name).id
        _ = try await perform(.resumeUser(user), actor: actor)
        return try await self.user(user)
    }

    /// Suspends a user because of what they do, not because an operator said so; the audit log has it under `relayd/suspend`. Does nothing for
    /// one who is suspended or gone, or when the store refuses: whoever goes on with it is found again.
    package func suspendByItself(_ user: UserID, reason: String) async {
        guard !isSuspended(user), let row = try? await readers.look({ try $0.user(user) }) else { return }
        try? await suspend(user, reason, Actor(uid: geteuid(), operation: "relayd/suspend", subject: row.name.text, reason: reason))
    }

    private func suspend(_ user: UserID, _ reason: String, _ actor: Actor) async throws(DirectoryError) {
        _ = try await perform(.suspendUser(user, reason: reason), actor: actor)
        try await disconnectSuspended(user)
    }
}
