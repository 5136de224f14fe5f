import RelayModel
import RelayStorage

/// What an erasure would do, or has done.
package struct ErasureAccount: Sendable {
    package var user: UserRow
    package var counts: ErasureCounts
    /// Changes when what an operator decides on changes.
    package var fingerprint: UInt64
    package var grace: Duration
    /// When the grace is over, of one that was asked for.
    package var due: Timestamp?
    /// Nothing of what was deleted is left in the write-ahead log; nil before it is erased.
    package var logEmptied: Bool?
    /// A file besides the store has every command: `--record-commands`.
    package var isRecorded: Bool
}

// Erasing users: a plan, a time of grace, and steps until nothing identifying is left. The steps are those of removing a user, and more of them.
extension Directory {
    /// What ``applyErasure(named:fingerprint:grace:reason:actor:)`` would do now.
    package func planErasure(named name: String, grace: Duration?) async throws(DirectoryError) -> ErasureAccount {
        let user = try await find(name)
        let grace = try checked(grace)
        let fingerprint = try await readers.look { try $0.erasureFingerprint(of: user.id, grace: grace) }
        var counts = try await chatCounts(of: user.id)
        let account = try await readers.look { try $0.erasureAccount(of: user.id) }
        counts.gone.merge(account, uniquingKeysWith: +)
        let audit = try await auditCount(of: user)
        counts.gone[.audit] = audit
        counts.stays[.audit] = audit
        counts.stays[.users] = 1
        return ErasureAccount(
            user: user, counts: counts, fingerprint: fingerprint, grace: grace, due: user.eraseAt, logEmptied: nil, isRecorded: writer.isRecording)
    }

    /// Puts a user out, and erases them at once or after the grace. When there is none, everything is done when this returns.
    ///
    /// - Parameters:
    ///   - fingerprint: of the plan that the operator saw.
    ///   - reason: stays in the audit log, and so must not name the user.
    package func applyErasure(
        named name: String, fingerprint: UInt64, grace: Duration?, reason: String, actor: Actor
    ) async throws(DirectoryError) -> ErasureAccount {
        let user = try await find(name)
        let grace = try checked(grace)
        try checkReason(reason, for: user)
        // The round that looks for what is due must not do it at the same time: whoever asked wants to hear what became of it.
        let isNow = grace == .zero
        if isNow, !claimErasure(of: user.id) { throw .overloaded }
        defer { if isNow { releaseErasure(of: user.id) } }
        let command = EraseUser(user: user.id, fingerprint: fingerprint, grace: grace, uid: actor.uid)
        let outcome = try await perform(.eraseUser(command), actor: actor, telling: true)
        var account = ErasureAccount(
            user: user, counts: ErasureCounts(), fingerprint: fingerprint, grace: grace, due: nil, logEmptied: nil, isRecorded: writer.isRecording)
        if case .erasureAsked(let due) = outcome {
            try await disconnectSuspended(user.id)
            erasureChanges.continuation.yield()
            account.due = due
            return account
        }
        guard case .userGone(let gone) = outcome else { throw .storeFailed }
        revocations.revoked(gone.devices)
        // Nothing comes from the user any more, and everything that stays is still found by their chats.
        account.counts.stays = try await chatCounts(of: user.id).stays
        let result = try await clear(user.id)
        account.counts.gone = result.gone
        account.counts.stays[.messages, default: 0] += result.events
        account.counts.stays[.audit] = result.gone[.audit]
        account.counts.stays[.users] = 1
        account.logEmptied = result.logEmptied
        return account
    }

    /// Within the grace: the user is as before, and gets what was sent meanwhile.
    package func cancelErasure(named name: String, actor: Actor) async throws(DirectoryError) -> UserDetails {
        let user = try await find(name)
        _ = try await perform(.cancelErasure(user.id), actor: actor, telling: true)
        erasureChanges.continuation.yield()
        return try await self.user(user.id)
    }

    /// Users who are to be erased, or are being erased, the next one first; at most ``Limits/erasuresAtOnce``.
    package func erasures(ofUser name: String?) async throws(DirectoryError) -> [ErasureRow] {
        var user: UserID?
        if let name { user = try await find(name).id }
        return try await readers.look { [user] in try $0.erasures(of: user, limit: Limits.erasuresAtOnce) }
    }

    private func checked(_ grace: Duration?) throws(DirectoryError) -> Duration {
        let grace = grace ?? settings.erasureGrace
        guard grace >= .zero, grace <= Limits.erasureGraceCeiling else {
            throw .invalid("a time of grace is at most \(Limits.erasureGraceCeiling.components.seconds / 86_400) days")
        }
        return grace
    }

    private func checkReason(_ reason: String, for user: UserRow) throws(DirectoryError) {
        let text = try Directory.checked(reason, "reason", characters: Limits.reasonCharacters)
        guard ReasonText.isFree(text, of: user) else {
            throw .invalid("the reason names the user, and would stay in the audit log when the user is erased: leave the name out")
        }
    }

    // MARK: Counting, in pages between which others read

    private func chatCounts(of user: UserID) async throws(DirectoryError) -> ErasureCounts {
        var counts = ErasureCounts()
        var place: ChatPosition?
        repeat {
            let page = try await readers.look { [place] in try $0.erasureChats(of: user, after: place, limit: Limits.erasurePlanRows) }
            counts.gone.merge(page.counts.gone, uniquingKeysWith: +)
            counts.stays.merge(page.counts.stays, uniquingKeysWith: +)
            place = page.next
        } while place != nil
        return counts
    }

    private func auditCount(of user: UserRow) async throws(DirectoryError) -> Int {
        var count = 0
        var place: UInt64? = 0
        while let after = place {
            let page = try await readers.look { try $0.erasureAudit(of: user, after: after, limit: Limits.erasurePlanRows) }
            count += page.count
            place = page.next
        }
        return count
    }

    // MARK: Doing it

    /// Begins what is due, and goes on with what has begun.
    /// - Returns: when there is something to do again; nil when that is not known.
    package func eraseWhatIsDue() async -> Timestamp? {
        guard let found = try? await readers.look({ try $0.erasures(limit: Limits.erasuresAtOnce) }) else { return nil }
        for erasure in found {
            guard claimErasure(of: erasure.user) else { continue }
            defer { releaseErasure(of: erasure.user) }
            if !erasure.hasBegun {
                guard erasure.due <= clock.now() else { return erasure.due }
                // One that was cancelled at this moment is refused, and so is everything by a store that ends.
                guard (try? await begin(erasure.user)) != nil else { continue }
            }
            _ = try? await clear(erasure.user)
        }
        return found.count == Limits.erasuresAtOnce ? clock.now() : nil
    }

    /// Erases whoever is due, until it is cancelled. One of these runs as long as the relay.
    package func runErasures() async {
        var timer: Task<Void, any Error>?
        erasureChanges.continuation.yield()
        for await _ in erasureChanges.stream {
            let next = await eraseWhatIsDue()
            timer?.cancel()
            // The clock may be set meanwhile: no wait is long.
            let wait = min(max(next.map { $0 - clock.now() } ?? Limits.erasureLook, .milliseconds(1)), Limits.erasureLook)
            timer = Task { [erasureChanges] in
                try await Task.sleep(for: wait)
                erasureChanges.continuation.yield()
            }
        }
        timer?.cancel()
    }

    private func begin(_ user: UserID) async throws(DirectoryError) {
        guard case .userGone(let gone) = try await perform(.beginErasure(user), telling: true) else { throw .storeFailed }
        revocations.revoked(gone.devices)
    }

    /// Takes an erasure that has begun to its end. A stop or crash in between is taken up at the next start.
    ///
    /// Only one task at a time does this for a user: ``claimErasure(of:)``.
    /// - Returns: `events`: groups that were told that the user has left. When the log could not be emptied the erasure is not at its end: the next round goes
    ///   on with it.
    private func clear(_ user: UserID) async throws(DirectoryError) -> (gone: [ErasedPart: Int], events: Int, logEmptied: Bool) {
        var events = 0
        while true {
            guard case .removed(_, let remaining, let publication) = try await perform(.clearUser(user, limit: Limits.erasureStepRows), telling: true)
            else { throw .storeFailed }
            if publication != nil { events += 1 }
            guard remaining else { break }
            // The relay stops; the next start goes on with it.
            if Task.isCancelled { throw .stopping }
        }
        let gone = try await readers.look { try $0.erasedRows(of: user) }
        let logEmptied = await writer.emptyLog()
        if logEmptied { _ = try await perform(.finishErasure(user)) }
        return (gone, events, logEmptied)
    }
}
