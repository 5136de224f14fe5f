import Foundation
import NIOCore
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayStorage
@testable import RelayTelemetry

/// A clock that goes where it is put, backwards too.
final class SetClock: WallClock {
    private let time: Mutex<Timestamp>
    init(_ start: Timestamp) { time = Mutex(start) }
    func now() -> Timestamp { time.withLock { $0 } }
    func set(day: Int, seconds: Int = 0) { time.withLock { $0 = PeoplePeriod.beginning(of: day) + .seconds(seconds) } }
}

/// Random bytes, and a note of them.
final class NotedEntropy: Entropy {
    private let keys = Mutex<[[UInt8]]>([])
    var drawnKeys: [[UInt8]] { keys.withLock { $0 } }
    func bytes(_ count: Int) -> [UInt8] {
        let bytes = SystemEntropy().bytes(count)
        if count == 32 { keys.withLock { $0.append(bytes) } }
        return bytes
    }
}

/// A store on the disk with some users, and a ledger over it.
final class LedgerWorld {
    /// A Monday, far enough from the stamps' beginning.
    static let monday = PeoplePeriod.week.start(of: PeoplePeriod.day(of: Timestamp(milliseconds: 1_790_000_000_000)))

    let directory: TemporaryDirectory
    let clock = SetClock(PeoplePeriod.beginning(of: LedgerWorld.monday))
    let entropy = NotedEntropy()
    private(set) var tally = PeopleTally()
    private(set) var store: Store
    private(set) var ledger: PrivacyLedger
    private(set) var users: [UserID] = []
    var settings: PeopleSettings

    struct Failure: Error {}

    init(users count: Int = 60, settings: PeopleSettings = PeopleSettings()) async throws {
        directory = try TemporaryDirectory()
        self.settings = settings
        (store, ledger) = try LedgerWorld.open(directory, clock, tally, entropy, settings)
        _ = try await perform(.setContactPolicy(ContactPolicy(everyone: true)))
        for number in 0..<count { users.append(try await addUser("user\(number)")) }
        // They are here already.
        _ = tally.take()
    }

    func addUser(_ name: String) async throws -> UserID {
        let hash = Hashing.blake2b256(Array(name.utf8))
        let add = AddUser(name: try UserName(name), displayName: nil, avatar: nil, inviteHash: hash, inviteExpires: clock.now() + .seconds(86_400))
        guard case .userAdded(let user, _) = try await perform(.addUser(add)) else { throw Failure() }
        return user
    }

    func enrol(_ name: String) async throws -> DeviceID {
        let key = Hashing.blake2b256(Array(name.utf8))
        let keys = DeviceKeySet(identityKey: key, agreementKey: key, agreementSignature: key + key)
        guard
            case .enrolled(let enrolled) = try await perform(
                .enrolDevice(EnrolDevice(inviteHash: key, deviceName: "phone", keys: keys, devicesPerUser: 5)))
        else { throw Failure() }
        return enrolled.device
    }

    private static func open(
        _ directory: TemporaryDirectory, _ clock: SetClock, _ tally: PeopleTally, _ entropy: NotedEntropy, _ settings: PeopleSettings
    ) throws -> (Store, PrivacyLedger) {
        let store = try Store(
            path: directory.file("relay.db"), clock: clock, observer: tally, onFailure: { Issue.record("the store failed: \($0)") })
        let ledger = PrivacyLedger(
            tally: tally, writer: store.writer, readers: store.readers, clock: clock, entropy: entropy, settings: settings)
        return (store, ledger)
    }

    /// As a restart: what was in memory only is gone.
    func reopen() async throws {
        await store.close()
        tally = PeopleTally()
        (store, ledger) = try LedgerWorld.open(directory, clock, tally, entropy, settings)
    }

    @discardableResult func perform(_ command: Command, actor: Actor? = nil) async throws -> Outcome {
        try await store.writer.perform(command, actor: actor)
    }

    /// As if a user had sent messages: only what the tally sees.
    func sent(_ count: Int, by user: UserID) {
        let now = Stamp(time: clock.now())
        let envelope = StoredEnvelope(
            mailboxSeq: now.rawValue, chat: ChatID(1), chatSeq: 1, message: MessageID(now.rawValue), senderUser: user, senderDevice: DeviceID(1),
            clientMessageID: 1, body: ByteBuffer(), keys: PackedKeys(), extra: nil)
        let sent = SentOutcome(
            chat: ChatID(1), clientMessageID: 1, message: envelope.message, chatSeq: 1,
            publication: Publication(envelope: envelope, audience: [], keys: []))
        tally.committed(
            Array(repeating: StampedCommand(stamp: now, command: .auditOnly), count: count), Array(repeating: .sent(sent), count: count))
    }

    /// Closes a period with a noise of the test's own.
    func close(_ metric: PeopleMetric, _ start: Int, noise: Int64, gateNoise: Int64 = 0) async throws {
        try await perform(.closePeople(PeopleClose(metric: metric, start: start, noise: noise, gateNoise: gateNoise, algorithm: 1)))
    }

    func release(_ metric: PeopleMetric, _ start: Int) async throws -> PeopleRelease? {
        try await store.readers.read { try $0.peopleReleases(metric, limit: 1000).first { $0.start == start } }
    }

    func open() async throws -> [PeopleOpening] { try await store.readers.read { try $0.peoplePeriods() } }

    /// Rows, clamped sum of a figure that is still being counted.
    func counted(_ metric: PeopleMetric, _ start: Int) throws -> (rows: Int, sum: Int) {
        let database = try Database(path: directory.file("relay.db"), access: .readOnly)
        let from = "FROM people_tallies WHERE metric = '\(metric.rawValue)' AND start = \(start)"
        return (Int(try database.integer("SELECT count(*) \(from)") ?? 0), Int(try database.integer("SELECT coalesce(sum(tally), 0) \(from)") ?? 0))
    }

    /// In the store's files.
    func contains(_ bytes: [UInt8]) -> Bool {
        ["relay.db", "relay.db-wal"].contains { name in
            FileManager.default.contents(atPath: directory.file(name))?.range(of: Data(bytes)) != nil
        }
    }
}
