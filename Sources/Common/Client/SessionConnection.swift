import NIOCore
import RelayHTTP
import RelayModel
import RelayTLS
import RelayWire

/// One connection: signing in, the upgrade, and what its end means.
extension Session {
    func connectOnce() async throws(ClientError) -> StreamEnd {
        let state = try working()
        let token = try await currentToken()
        connectedAt = settings.clock.now()
        if !knowsLimits {
            maxBodyBytes = Int(try await api.info().maxBodyBytes)
            knowsLimits = true
        }
        let path = "/v1/connect?cursor=\(try state.cursor())&receipts=\(try state.receiptsVersion())&contacts=\(try state.contactsVersion())"
        ended = nil
        caughtUpFlag = false
        established = false
        do {
            let opened = try await WebSocketClient.connect(
                to: endpoint, path: path, headers: [("Authorization", "Bearer \(token)")], subprotocols: ["relay.v1.proto"],
                maxMessageBytes: Limits.clientFrameBytes, on: loop
            ) { channel in
                self.assumeIsolated { $0.channel = channel }
                return StreamDelegate(self)
            }
            guard opened.subprotocol == "relay.v1.proto" else {
                opened.close(code: 1002)
                throw ClientError.protocolViolation("the relay does not speak relay.v1.proto")
            }
        } catch let error as ClientError {
            throw error
        } catch let error as WebSocketConnectError {
            switch error {
            case .refused(let reply): throw RelayAPI.refusal(reply)
            case .malformed(let what): throw .protocolViolation(what)
            case .tls(let failure): throw .insecure(failure.description, hint: failure.hint)
            case .connect, .timeout, .closed: throw .unreachable(error.description)
            }
        } catch {
            throw .unreachable("\(error)")
        }
        if ended == nil {
            guard wanted else {
                channel?.close(code: 1000)
                return await streamEnd()
            }
            established = true
            lastHeard = .now()
            events(.connected)
            checkKeys()
            sendUnconfirmedReads()
            askPresence()
            do throws(ClientError) { refreshes.formUnion(try state.transaction { try state.groupsLackingAnOwner() }) } catch { fail(error) }
            burst()
        }
        return await streamEnd()
    }

    private func streamEnd() async -> StreamEnd {
        await withCheckedContinuation { continuation in
            if let ended { continuation.resume(returning: ended) } else { ending = continuation }
        }
    }

    /// A token that is good for a while yet.
    func currentToken() async throws(ClientError) -> String {
        if let token, settings.clock.now() + Limits.tokenMargin < token.expires { return token.text }
        let reply = try await api.token(device: account.device, secrets: secrets)
        guard !reply.token.isEmpty else { throw .protocolViolation("the relay gave an empty token") }
        token = (reply.token, Timestamp(milliseconds: reply.expiresAtMs))
        return reply.token
    }

    /// For questions that no connection will repeat: a relay that was started again knows no token of its former life, so one that it refuses is
    /// replaced, once.
    func withToken<Answer: Sendable>(
        _ ask: @Sendable (String) async throws(ClientError) -> Answer
    ) async throws(ClientError) -> Answer {
        let first = try await currentToken()
        do throws(ClientError) { return try await ask(first) } catch {
            guard case .refused(let refusal) = error, refusal.status == 401 else { throw error }
        }
        if token?.text == first { token = nil }
        return try await ask(try await currentToken())
    }

    /// What a close code means: the error to show, and the wait where it is not the back-off's.
    func judge(_ end: StreamEnd) -> (ClientError, Duration?) {
        let text = end.reason.isEmpty ? "the connection ended" + (end.code.map { " with code \($0)" } ?? "") : end.reason
        switch end.code {
        case 1012:
            return (.unreachable("the relay restarts"), Backoff.jitter(upTo: Limits.restartSpread, using: &jitter))
        case 4403:
            failure = .revoked("")
            return (.revoked(""), nil)
        case 4409:
            failure = .replaced
            return (.replaced, nil)
        case 4410:
            let error = ClientError.refused(
                Refusal(
                    code: "cursor_ahead", message: "the relay has less than this device received: it was set back to an older state",
                    hint: "ask the operator; to go on, enrol again in another directory (the history here stays readable)"))
            failure = error
            return (error, nil)
        case 4411:
            let error = ClientError.refused(
                Refusal(
                    code: "user_suspended", message: "the operator suspended this user",
                    hint: "ask the operator; nothing that was sent to you is lost"))
            failure = error
            return (error, nil)
        default:
            return (failure ?? .unreachable(text), nil)
        }
    }

    func judge(_ error: ClientError) -> (ClientError, Duration?) {
        guard case .refused(let refusal) = error else {
            if case .store = error { failure = error }
            return (error, nil)
        }
        switch refusal.code {
        // Also for a token that is fresh: the relay can have been restarted since it gave it out, and knows no older ones. Another request
        // may have found that out first. Only the relay's own word ends a device.
        case "token_expired", "unauthorized": token = nil
        case "device_revoked": failure = .revoked(refusal.message)
        case "replaced":
            failure = .replaced
        // Nothing is lost by waiting, but somebody has to hear of it: the session ends, and a later one goes on.
        case "user_suspended": failure = error
        case "challenge_expired": break
        default:
            if !refusal.isTemporary, refusal.status < 500 { failure = error }
        }
        return (error, refusal.retryAfter)
    }

    func disconnected() {
        channel = nil
        established = false
        connectionNumber += 1
        preparing = false
        lookingUp = false
        frames = []
        waitingEnvelopes = []
        caughtUpAt = nil
        lookedUp = []
        resolvedUsers = [:]
        fruitless = [:]
        fetch = nil
        compared = []
        requests = [:]
        prepareAfter?.cancel()
        prepareAfter = nil
        pumpAfter?.cancel()
        pumpAfter = nil
        readsAfter?.cancel()
        readsAfter = nil
        contactsSynced = false
        syncingContacts = false
        syncContactsAgain = false
        pushedContacts = 0
        incompletePush = nil
        deciding = false
        decideAfter?.cancel()
        decideAfter = nil
        stopHeartbeat()
        presenceOf = nil
        window.disconnected()
    }

    func checkThatTheRelayLives() {
        guard established, NIODeadline.now() - lastHeard > TimeAmount(Limits.relaySilence) else { return }
        channel?.abort()
    }
}
