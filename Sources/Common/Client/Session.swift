import NIOCore
import NIOPosix
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire

/// One device at work: keeps a stream to the relay open, sends what is in the outbox, stores what comes, acknowledges it.
///
/// The actor runs on one event loop, the same as its connection, so that what the socket gives is handled at once, without a task a message. The state's
/// database is used on that loop too: give a client that must not wait for others' disks a loop of its own.
///
/// One transaction a read burst: answers, envelopes, receipts and newly sealed messages are on disk together; only then acknowledgements
/// and sends leave.
package actor Session {
    package nonisolated let loop: any EventLoop
    package nonisolated let account: Account
    private nonisolated let executor: any SerialExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let endpoint: Endpoint
    let api: RelayAPI
    /// As in the file ``StateDirectory`` keeps.
    var keys: KeyRing
    var secrets: DeviceSecrets { keys.device }
    let settings: SessionSettings
    let events: @Sendable (SessionEvent) -> Void
    var state: ClientState?
    var jitter: SeededGenerator

    // The life of the session.
    var wanted = false
    private var runner: Task<Void, Never>?
    var failure: ClientError?
    private var wake: CheckedContinuation<Void, Never>?
    var waiters: [Int: Waiter] = [:]
    var nextWaiter = 0

    // The connection.
    var channel: WebSocketClientChannel?
    var established = false
    /// Which connection this is: what was asked for another one is not handled any more.
    var connectionNumber = 0
    var caughtUpFlag = false
    var ending: CheckedContinuation<StreamEnd, Never>?
    var ended: StreamEnd?
    var lastHeard = NIODeadline.now()
    var token: (text: String, expires: Timestamp)?

    // Sending.
    var window = SendWindow()
    var requests: [UInt64: UInt64] = [:]
    var nextRequest: UInt64 = 1
    var preparing = false
    var prepareAfter: Scheduled<Void>?
    var pumpAfter: Scheduled<Void>?
    var readsAfter: Scheduled<Void>?
    /// What the relay takes at most; it says so in `GET /v1/info`.
    var maxBodyBytes = Limits.bodyBytes
    var knowsLimits = false
    /// Chats whose devices changed since they were last fetched.
    var staleChats: Set<ChatID> = []
    var knownRecipients: [ChatID: [KnownDevice]] = [:]
    /// Who a name stands for in changes of groups, as the relay said in this session.
    var resolvedUsers: [String: UserID] = [:]
    /// What the relay was asked without any use, as often as its back-off says.
    var fruitless: [Question: Backoff] = [:]
    /// Groups whose members are not known as they are now: fetched when there is time.
    var refreshes: Set<ChatID> = []
    /// Users of whom a device's keys cannot be trusted, and why: nothing is sealed for a chat that they are in.
    var unsafeUsers: [UserID: (code: String, reason: String)] = [:]

    // Keys.
    /// The device's own agreement key is being replaced.
    var replacingKey = false
    /// Something came for a newer agreement key than this device has: its keys are not what they were (a backup, perhaps).
    var keyIsOutdated = false
    /// Not to be tried again before.
    var keyChangePause: Timestamp?
    /// When this connection was asked for: its mailbox holds all that was sent before.
    var connectedAt: Timestamp?
    /// The connection is ended and opened again, so that a former secret can go.
    var reconnecting = false
    /// How often others' keys changed while connected: a list of devices that was asked for before may be older.
    var keyChanges = 0

    // Contacts.
    /// The list of this connection is here; before, nothing is received.
    var contactsSynced = false
    var syncingContacts = false
    var syncContactsAgain = false
    /// The highest version that was pushed on this connection.
    var pushedContacts: UInt64 = 0
    /// The newest pushed contact whose name only the list tells: until a list reaches it, what was pushed does not count as complete.
    var incompletePush: UInt64?
    var deciding = false
    var decideAfter: Scheduled<Void>?

    // Presence.
    /// As ``takePart(_:)`` said last.
    var presencePart: PresencePart?
    /// Nil until the relay has told everything on this connection.
    var presenceOf: [UserID: Relay_V1_Presence]?
    var heartbeat: RepeatedTask?

    // Receiving.
    var frames: [Relay_V1_ServerFrame] = []
    var waitingEnvelopes: [Relay_V1_Envelope] = []
    var lookingUp = false
    /// Senders and chats that the relay could not tell anything about in this session.
    var lookedUp: Set<Lookup> = []
    var caughtUpAt: UInt64?
    /// Announced chats, and up to where each is to be fetched.
    var behind: [ChatID: UInt64] = [:]
    /// Announced chats of which this connection's relay has been compared with what is here: it may have been set back.
    var compared: Set<ChatID> = []
    var fetch: Fetch?

    struct Waiter {
        var condition: @Sendable (isolated Session) throws(ClientError) -> Bool
        var continuation: CheckedContinuation<Result<Void, ClientError>, Never>
        var timer: Scheduled<Void>?
    }

    struct StreamEnd: Sendable {
        var code: UInt16?
        var reason: String
    }

    /// What must be asked of the relay before an envelope can be stored.
    enum Lookup: Hashable {
        /// The chat with its members and their devices; `at` tells one question from a later one about the same chat.
        case chat(ChatID, at: UInt64)
        case users([UserID])
        case sender(UserID, DeviceID)
    }

    /// What sealing needed to know.
    enum Question: Hashable {
        case chat(ChatID)
        case recipient(String)
    }

    /// Which page of a chat is asked for.
    enum PageQuestion {
        case after(UInt64)
        case before(UInt64)
    }

    /// A chat that is being fetched, page by page.
    struct Fetch {
        var chat: ChatID
        /// What had been announced when the last page was asked for.
        var announced: UInt64
        var envelopes: [Relay_V1_Envelope] = []
        var next: UInt64 = 0
        var asking = true
    }

    /// Opens a device's state; ``start()`` connects.
    /// - Parameter events: called on the loop, for each event in order; must return soon and may call back into the session with `assumeIsolated`.
    package init(
        _ directory: StateDirectory, on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next(),
        settings: SessionSettings = SessionSettings(),
        events: @escaping @Sendable (SessionEvent) -> Void = { _ in }
    ) throws(ClientError) {
        let (state, keys, account) = try ClientState.open(directory)
        let endpoint: Endpoint
        do { endpoint = try Endpoint(url: account.relay, trust: directory.trust) } catch {
            throw .state(
                path: directory.path, problem: "names a relay that cannot be used: \(error.description)", hint: "enrol again in another directory")
        }
        self.loop = loop
        executor = loop.executor
        self.account = account
        self.state = state
        self.keys = keys
        self.endpoint = endpoint
        self.settings = settings
        self.events = events
        presencePart = settings.presence
        api = RelayAPI(endpoint: endpoint, group: loop)
        var system = SystemRandomNumberGenerator()
        jitter = SeededGenerator(seed: settings.jitterSeed ?? system.next())
        var window = SendWindow()
        do throws(ClientError) {
            behind = try state.transaction { try state.announced() }
            window.add(
                try state.transaction { try state.sealedOutbox() }.compactMap { entry in
                    guard let chat = entry.chat, let id = entry.clientMessageID else { return nil }
                    return SendWindow.Sealed(row: entry.id, chat: chat, clientMessageID: id)
                })
        } catch {
            throw error
        }
        self.window = window
    }

    // MARK: Life

    /// Connects, and connects again whenever the connection is lost, until ``goOffline()`` or ``close()``.
    package func start() {
        guard runner == nil, failure == nil, state != nil else { return }
        wanted = true
        runner = Task { await self.run() }
    }

    /// Ends the connection and stays offline; messages can still be queued. ``start()`` connects again.
    package func goOffline() async {
        wanted = false
        channel?.close(code: 1000)
        wakeUp()
        await runner?.value
        runner = nil
    }

    /// Ends the connection without a word, as a lost network does; the session connects again by itself.
    package func loseConnection() { channel?.abort() }

    /// Ends the session and lets go of the state directory.
    package func close() async {
        // A change of keys that is on its way is soon answered, and else must be repeated.
        if replacingKey, established { try? await wait(for: "the answer about keys", timeout: Limits.keyChangeClosing) { !$0.replacingKey } }
        await goOffline()
        prepareAfter?.cancel()
        prepareAfter = nil
        pumpAfter?.cancel()
        pumpAfter = nil
        readsAfter?.cancel()
        readsAfter = nil
        decideAfter?.cancel()
        decideAfter = nil
        await api.close()
        // What was deleted must not stay behind in the log. A failure here costs nothing else: the next session empties it.
        do throws(ClientError) { try state?.emptyLog() } catch { events(.logNotEmptied(error)) }
        state = nil
        checkWaiters()
    }

    private func run() async {
        var backoff = settings.backoff
        let watch = loop.scheduleRepeatedTask(initialDelay: .seconds(15), delay: .seconds(15)) { [weak self] _ in
            self?.assumeIsolated {
                $0.checkThatTheRelayLives()
                $0.checkKeys()
            }
        }
        defer { watch.cancel() }
        while wanted, failure == nil {
            let problem: ClientError
            var wait: Duration?
            do throws(ClientError) {
                let end = try await connectOnce()
                if caughtUpFlag { backoff.succeeded() }
                (problem, wait) = judge(end)
            } catch {
                (problem, wait) = judge(error)
            }
            disconnected()
            guard wanted else { break }
            if let failure {
                events(.ended(failure))
                break
            }
            if reconnecting {
                reconnecting = false
                continue
            }
            let pause = wait ?? backoff.next(using: &jitter)
            events(.disconnected(problem, retryIn: pause))
            await sleep(pause)
        }
        checkWaiters()
    }

    func working() throws(ClientError) -> ClientState {
        guard let state else { throw .stopped }
        return state
    }

    /// The disk failed, or something as bad: nothing more is acknowledged, the session ends.
    func fail(_ error: ClientError) {
        if failure == nil { failure = error }
        channel?.abort()
    }

    private func sleep(_ duration: Duration) async {
        var timer: Scheduled<Void>?
        await withCheckedContinuation { continuation in
            wake = continuation
            timer = loop.scheduleTask(in: TimeAmount(duration)) { [weak self] in self?.assumeIsolated { $0.wakeUp() } }
        }
        timer?.cancel()
    }

    private func wakeUp() {
        wake?.resume()
        wake = nil
    }
}
