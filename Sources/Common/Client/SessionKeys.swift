import NIOCore
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire

/// Replacing this device's own agreement key.
///
/// The new secret is on the disk as pending before the relay hears of its key, so that this device can open what is sealed for it whatever happens in
/// between; the relay's answer makes it the current one, and a restart asks again, which the relay answers in the same way. The former secret stays
/// until the grace is over and the mailbox was received after that: what was sealed for it may still be waiting there.
extension Session {
    /// Replaces the agreement key now. Works without a stream, so also in a session that was not started.
    /// - Parameters:
    ///   - grace: how long others may go on sealing for the former key, at most ``Limits/keyGraceCeiling``. Nil: ``Limits/keyGrace``, or not at all when
    ///     the former secrets are forgotten.
    ///   - forgettingFormer: all former secrets go at once. What was sealed for them and has not come yet cannot be opened and is asked for again.
    /// - Throws: when the relay did not answer; the new key is kept, and the next connection goes on with it.
    /// - Returns: the number of the new key.
    @discardableResult
    package func replaceKey(grace: Duration? = nil, forgettingFormer: Bool = false) async throws(ClientError) -> UInt32 {
        let grace = grace ?? (forgettingFormer ? .zero : Limits.keyGrace)
        guard (.zero...Limits.keyGraceCeiling).contains(grace) else {
            throw .request(
                "a former key stays good for at most \(Limits.keyGraceCeiling.components.seconds / 86_400) days", hint: "give a shorter grace")
        }
        try await wait(for: "the change of keys that is under way") { !$0.replacingKey }
        replacingKey = true
        defer {
            replacingKey = false
            checkWaiters()
        }
        // Those that were replaced before go even when the relay does not answer.
        if forgettingFormer { try forgetAllFormer() }
        // One that was begun before must end first: the relay may have it already.
        if keys.pending != nil { try await publishPendingKey() }
        try await replaceKey(grace)
        if forgettingFormer { try forgetAllFormer() }
        return keys.version
    }

    /// Without waiting for the mailbox.
    private func forgetAllFormer() throws(ClientError) {
        _ = try working()
        var left = keys
        left.forgetFormer()
        try keep(left)
    }

    /// Replaces the key when it is time, finishes what a crash or a lost connection left, and lets former secrets go. Called when the stream is open, and
    /// while it is from time to time.
    package func checkKeys() {
        guard established, failure == nil, !replacingKey else { return }
        let now = settings.clock.now()
        letFormerSecretsGo(now)
        if let pause = keyChangePause, now < pause { return }
        let isDue = settings.replacesKeyAfter.map { keyIsOutdated || now - keys.since >= $0 } ?? false
        guard keys.pending != nil || isDue else { return }
        replacingKey = true
        Task {
            do throws(ClientError) {
                if keys.pending != nil { try await publishPendingKey() } else { try await replaceKey(Limits.keyGrace) }
                keyChangePause = nil
                // Something may have waited for the key.
                burst()
            } catch {
                var pause = Limits.keyChangeRetry
                switch error {
                case .store, .state: fail(error)
                case .refused(let refusal): pause = max(pause, refusal.retryAfter ?? pause)
                default: break
                }
                keyChangePause = now + pause
            }
            replacingKey = false
            checkWaiters()
        }
    }

    /// Draws a new key and publishes it. Should the relay have gone back in its counting, others would not take it: then once more, until it is ahead of
    /// what they know.
    private func replaceKey(_ grace: Duration) async throws(ClientError) {
        for _ in 0..<Limits.formerKeys {
            var begun = keys
            begun.begin(grace: grace, at: settings.clock.now(), settings.entropy)
            try keep(begun)
            try await publishPendingKey()
            guard keys.isBehindItself else { return }
        }
    }

    /// Tells the relay of the pending key; what it says makes it the current one.
    private func publishPendingKey() async throws(ClientError) {
        guard let (key, signature, grace) = keys.publication else { return }
        let (api, device) = (api, account.device)
        let reply = try await withToken { token throws(ClientError) in
            try await api.replaceAgreementKey(of: device, with: key, signature: signature, grace: grace, token: token)
        }
        // The directory may belong to somebody else by now.
        _ = try working()
        guard reply.agreementVersion > 0 else { throw .protocolViolation("the relay counts no agreement keys") }
        var done = keys
        done.complete(version: reply.agreementVersion, at: settings.clock.now())
        try keep(done)
        keyIsOutdated = false
        events(.keyReplaced(version: reply.agreementVersion))
    }

    /// On the disk first.
    private func keep(_ changed: KeyRing) throws(ClientError) {
        try working().directory.write(changed)
        keys = changed
    }

    // MARK: Former secrets

    /// The mailbox was received: what was sent before this connection was asked for is stored, so former secrets whose grace was over then open nothing
    /// any more.
    func forgetFormerSecrets() {
        guard let connectedAt else { return }
        var left = keys
        left.forgetFormer(endedBy: connectedAt)
        guard left.former.count < keys.former.count else { return }
        do throws(ClientError) { try keep(left) } catch { fail(error) }
    }

    /// Only a new connection says that everything up to then has come. One that lasts is opened anew when a grace is over: once for each key.
    private func letFormerSecretsGo(_ now: Timestamp) {
        guard let connectedAt, caughtUpFlag, !reconnecting, keys.former.contains(where: { $0.until > connectedAt && $0.until <= now }) else { return }
        reconnecting = true
        channel?.close(code: 1000)
    }

    /// The device's agreement keys, without their secrets.
    package var agreementKeys: [AgreementKeyRecord] { keys.records }
}
