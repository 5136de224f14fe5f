import RelayCrypto
import RelayModel
import RelayStorage
import Synchronization

/// Users, devices, invites and tokens.
///
/// Changes go through the writer, look-ups through the readers; what is asked for with every token is in memory, and follows the disk
/// (``KnownAccounts``). Every method may be called from any thread.
package final class Directory: Sendable {
    let writer: Writer
    let readers: ReaderPool
    let clock: any WallClock
    let entropy: any Entropy
    let settings: DirectorySettings
    let tokens: Tokens
    let links: Links
    let revocations: any RevocationListener
    /// Changed on the writer's thread only.
    private let known: Mutex<KnownAccounts>
    /// Users whose erasure somebody takes to its end.
    private let erasing = Mutex<Set<UserID>>([])
    let erasureChanges = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// Loads the active devices, and takes up removals of users that a crash interrupted.
    package init(
        writer: Writer, readers: ReaderPool, clock: any WallClock, entropy: any Entropy, settings: DirectorySettings,
        revocations: any RevocationListener
    ) async throws(DirectoryError) {
        self.writer = writer
        self.readers = readers
        self.clock = clock
        self.entropy = entropy
        self.settings = settings
        self.revocations = revocations
        tokens = Tokens(entropy: entropy, clock: clock, tokenLifetime: settings.tokenLifetime)
        links = Links(clock: clock, patience: settings.linkWait)
        let (devices, users, removals) = try await readers.look { (try $0.allDevices(), try $0.exceptionalUsers(), try $0.unfinishedRemovals()) }
        known = Mutex(KnownAccounts(active: devices, suspended: users.suspended, withoutLimits: users.withoutLimits))
        for user in removals { finishRemoval(of: user) }
    }

    /// Whether the device exists and was not revoked.
    package func isActive(_ device: DeviceID) -> Bool { known.withLock { $0.isActive(device) } }

    /// Who a bearer token stands for. No I/O.
    package func authenticate(bearer: String) throws(DirectoryError) -> Principal {
        let (user, device) = try tokens.check(bearer)
        let (refusal, noLimits) = known.withLock { known in (known.refusal(of: device), known.hasNoLimits(user)) }
        if let refusal { throw refusal }
        return Principal(user: user, device: device, noLimits: noLimits)
    }

    /// Why a device may not be connected; nil when it may. No I/O.
    package func refusal(of device: DeviceID) -> DirectoryError? { known.withLock { $0.refusal(of: device) } }

    func isSuspended(_ user: UserID) -> Bool { known.withLock { $0.isSuspended(user) } }

    // MARK: Steps that the other files share

    /// - Parameter telling: connections hear of it, too.
    func perform(_ command: Command, actor: Actor? = nil, telling: Bool = false) async throws(DirectoryError) -> Outcome {
        let outcome: Outcome
        do throws(WriterError) {
            outcome = try await writer.perform(command, actor: actor, for: telling ? revocations : nil) { outcome in
                self.known.withLock { $0.follow(command, outcome) }
            }
        } catch { throw DirectoryError(error) }
        if case .contactConflict(let contact) = outcome { throw .contactConflict(contact) }
        if case .rejected(let rejection) = outcome { throw .rejected(rejection) }
        return outcome
    }

    /// - Returns: false when somebody does it already.
    func claimErasure(of user: UserID) -> Bool { erasing.withLock { $0.insert(user).inserted } }

    func releaseErasure(of user: UserID) { erasing.withLock { _ = $0.remove(user) } }

    /// Nobody enrols for a suspended user, so whoever has a connection now is all.
    func disconnectSuspended(_ user: UserID) async throws(DirectoryError) {
        revocations.suspended(try await readers.look { try $0.devices(of: user).map(\.id) })
    }

    /// Takes a removed user out of the groups and deletes what nobody else can receive, in bounded steps, in the background. A stop or crash in between is
    /// taken up at the next start; while the writer has too much to do, it waits.
    func finishRemoval(of user: UserID) {
        Task { [writer, revocations] in
            var remaining = true
            while remaining {
                let outcome: Outcome
                do throws(WriterError) {
                    outcome = try await writer.perform(.clearUser(user, limit: Limits.removalStepRows), for: revocations)
                } catch {
                    guard error == .overloaded else { return }
                    try await Task.sleep(for: Limits.overloadPause)
                    continue
                }
                guard case .removed(_, let more, _) = outcome else { return }
                remaining = more
            }
        }
    }

    func find(_ typed: String) async throws(DirectoryError) -> UserRow {
        let name = try Directory.name(typed)
        guard let row = try await readers.look({ try $0.user(named: name) }) else { throw .rejected(.userUnknown) }
        return row
    }

    static func name(_ typed: String) throws(DirectoryError) -> UserName {
        do throws(UserName.Invalid) { return try UserName(typed) } catch { throw .invalidName(error) }
    }

    /// Free text that people see: bounded, and without control characters that could fool a terminal.
    static func checked(_ text: String, _ field: String, characters: Int) throws(DirectoryError) -> String {
        guard !text.isEmpty else { throw .invalid("the \(field) is empty") }
        guard text.count <= characters, text.utf8.count <= characters * 8 else {
            throw .invalid("the \(field) has more than \(characters) characters")
        }
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned:
                throw .invalid("the \(field) contains a control character")
            default: continue
            }
        }
        return text
    }
}

extension DirectoryError {
    init(_ error: WriterError) {
        self =
            switch error {
            case .overloaded: .overloaded
            case .stopping: .stopping
            case .storeFailed: .storeFailed
            }
    }
}

extension ReaderPool {
    /// A read whose failures are the directory's.
    func look<Result: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Result) async throws(DirectoryError) -> Result {
        do { return try await read(body) } catch let error as WriterError { throw DirectoryError(error) } catch { throw .storeFailed }
    }
}
