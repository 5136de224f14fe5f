import Foundation
import NIOCore
import RelayModel
import RelaySQLite
import RelayStorage
import RelayTestSupport
import Testing

@testable import RelayRetention

/// A store on the disk with alice and bob, a device and a chat.
private final class World {
    let directory: TemporaryDirectory
    let clock = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))
    private(set) var store: Store
    private(set) var retention: Retention
    var users: [UserID] = []
    var devices: [DeviceID] = []
    var chat = ChatID(1)
    private var number: UInt64 = 0

    init() async throws {
        directory = try TemporaryDirectory()
        (store, retention) = try World.open(directory, clock)
        _ = try await perform(.setContactPolicy(ContactPolicy(everyone: true)))
        for (index, name) in ["alice", "bob"].enumerated() {
            let hash = [UInt8(index)]
            let add = AddUser(name: try UserName(name), displayName: nil, avatar: nil, inviteHash: hash, inviteExpires: clock.now() + .seconds(60))
            guard case .userAdded(let user, _) = try await perform(.addUser(add)) else { throw Failure() }
            users.append(user)
            let key = [UInt8](repeating: UInt8(index), count: 32)
            let keys = DeviceKeySet(identityKey: key, agreementKey: key, agreementSignature: key + key)
            let enrol = EnrolDevice(inviteHash: hash, deviceName: "phone", keys: keys, devicesPerUser: 5)
            guard case .enrolled(let enrolled) = try await perform(.enrolDevice(enrol)) else { throw Failure() }
            devices.append(enrolled.device)
        }
        guard case .chatOpened(let chat) = try await perform(.openChat(users[0], users[1])) else { throw Failure() }
        self.chat = chat
    }

    struct Failure: Error {}

    private static func open(_ directory: TemporaryDirectory, _ clock: ManualWallClock) throws -> (Store, Retention) {
        let store = try Store(path: directory.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        let retention = Retention(
            writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), pushMembers: 1000, rest: { _ in })
        return (store, retention)
    }

    func reopen() async throws {
        await store.close()
        (store, retention) = try World.open(directory, clock)
    }

    func perform(_ command: Command) async throws -> Outcome { try await store.writer.perform(command) }

    @discardableResult func send(_ body: String) async throws -> SentOutcome {
        number += 1
        let send = Send(
            user: users[0], device: devices[0], chat: chat, clientMessageID: number, body: ByteBuffer(string: body),
            keys: zip(users, devices).map { user, device in
                var packed = PackedKeys()
                packed.append(device, key: [UInt8](repeating: 7, count: 48))
                return MemberKeys(user: user, keys: packed)
            })
        guard case .sent(let sent) = try await perform(.send(send)) else { throw Failure() }
        return sent
    }

    /// All devices have everything.
    func acknowledge() async throws {
        let newest = try await store.readers.read { [users] in
            try $0.mailbox(of: users[0], after: 0, limit: 100_000, bytes: 1 << 30).envelopes.last?.mailboxSeq ?? 0
        }
        for (user, device) in zip(users, devices) {
            _ = try await perform(.acknowledge([Acknowledge(user: user, device: device, mailboxSeq: newest, delivered: [])]))
        }
    }

    func seqs() async throws -> [UInt64] {
        try await store.readers.read { [users] in
            try $0.mailbox(of: users[1], after: 0, limit: 100_000, bytes: 1 << 30).envelopes.filter {
                if case .gone? = $0.extra { false } else { true }
            }
            .map(\.chatSeq)
        }
    }

    func set(_ policy: RetentionPolicy?, _ name: String = "") async throws {
        try await retention.set(policy, of: name, actor: Actor(uid: 0, operation: "retention/set", subject: name))
    }

    /// What is in the store's files.
    func contains(_ text: String) -> Bool {
        ["relay.db", "relay.db-wal"].contains { name in
            guard let data = FileManager.default.contents(atPath: directory.file(name)) else { return false }
            return data.range(of: Data(text.utf8)) != nil
        }
    }
}

@Suite struct RetentionTests {
    private static let day = Duration.seconds(86_400)

    @Test func whatIsOldGoesAndLeavesAGap() async throws {
        let world = try await World()
        for body in ["first-body", "second-body"] { try await world.send(body) }
        world.clock.advance(by: Self.day * 10)
        try await world.send("third-body")
        #expect(try await world.retention.plan().messages == 0)
        // Undelivered, the first two are kept for a month.
        world.clock.advance(by: Self.day * 10)
        #expect(try await world.retention.plan().messages == 0)
        try await world.acknowledge()
        let plan = try await world.retention.plan()
        #expect(plan.shares.keys.map { $0 } == [.delivered] && plan.messages == 2 && plan.bytes > 20 && plan.chats == 1)
        #expect(try await world.seqs() == [1, 2, 3])
        let report = try await world.retention.purge()
        #expect(report.extent == plan)
        #expect(try await world.seqs() == [3])
        #expect(try await world.retention.plan().messages == 0)
        #expect(try await world.retention.purge().extent.messages == 0)
        // A device that begins at the beginning is told where the history begins.
        let first = try await world.store.readers.read { [user = world.users[1]] in try $0.mailbox(of: user, after: 0, limit: 9, bytes: 9999) }
            .envelopes[0]
        guard case .gone? = first.extra, first.chatSeq == 2 else { throw World.Failure() }
        // The sequence goes on, and the policy is as it was, after a restart.
        try await world.reopen()
        #expect(try await world.send("fourth").chatSeq == 4)
        #expect(try await world.retention.policies() == ["": .standard])
        await world.store.close()
        for body in ["first-body", "second-body"] { #expect(!world.contains(body)) }
        #expect(world.contains("third-body"))
    }

    @Test func spaceGoesOldestFirstAndOnlyWhenBothAreFull() async throws {
        let world = try await World()
        try await world.set(RetentionPolicy(deliveredDays: nil, undeliveredDays: nil, userBytes: 64 * 1024))
        for number in 0..<20 {
            try await world.send(String(repeating: "\(number % 10)", count: 8 * 1024))
            world.clock.advance(by: .seconds(1))
        }
        #expect(try await world.retention.purge().extent.messages == 0, "nobody has them yet")
        try await world.acknowledge()
        let report = try await world.retention.purge()
        #expect(report.extent.shares.keys.map { $0 } == [.space])
        #expect(try await world.seqs() == Array(14...20))
        // bob may keep more: so both do.
        try await world.set(.forever, "archive")
        try await world.retention.assign(world.users[1], to: "archive", actor: Actor(uid: 0, operation: "retention/assign", subject: "bob"))
        #expect(try await world.retention.classes() == ["archive": 1])
        let bob = world.users[1]
        let row = try await world.store.readers.read { try $0.user(bob) }
        #expect(row?.retentionClass == "archive")
        for _ in 0..<10 { try await world.send(String(repeating: "x", count: 8 * 1024)) }
        try await world.acknowledge()
        #expect(try await world.retention.purge().extent.messages == 0)
        try await world.set(nil, "archive")
        #expect(try await world.retention.classes().isEmpty)
        #expect(try await world.retention.purge().extent.messages > 0)
        await world.store.close()
    }

    @Test func onceDelivered() async throws {
        let world = try await World()
        try await world.set(RetentionPolicy(deliveredDays: nil, undeliveredDays: nil, userBytes: nil, onceDelivered: true))
        for _ in 1...3 { try await world.send("body") }
        #expect(try await world.retention.purge().extent.messages == 0)
        try await world.acknowledge()
        try await world.send("body")
        let shares = try await world.retention.purge().extent.shares
        #expect(shares.keys.map { $0 } == [.onceDelivered] && shares[.onceDelivered]?.messages == 3)
        #expect(try await world.seqs() == [4])
        // With nothing left the chat still counts on.
        try await world.acknowledge()
        #expect(try await world.retention.purge().extent.messages == 1)
        try await world.reopen()
        #expect(try await world.send("body").chatSeq == 5)
        await world.store.close()
    }

    /// Many steps, with a stop and a restart in between: what is left is found again, and the file shrinks.
    @Test func aStoppedPurgeIsTakenUp() async throws {
        let world = try await World()
        for _ in 0..<3000 { try await world.send(String(repeating: "z", count: 2000)) }
        world.clock.advance(by: Self.day * 31)
        for _ in 0..<10 { try await world.send("stays") }
        let size = { (try? FileManager.default.attributesOfItem(atPath: world.directory.file("relay.db"))[.size] as? Int) ?? 0 }
        try await world.reopen()
        let before = size()
        // Told after some steps.
        let steps = Steps()
        let stopping = Retention(
            writer: world.store.writer, readers: world.store.readers, clock: world.clock, monotonic: SystemMonotonicClock(), pushMembers: 1000,
            rest: { _ in if await steps.count() == 3 { throw CancellationError() } })
        await #expect(throws: RetentionError.self) { try await stopping.purge() }
        let left = try await world.seqs().count
        #expect(left > 10 && left < 3010)
        try await world.reopen()
        let report = try await world.retention.purge()
        #expect(report.extent.messages == left - 10 && report.released > 4 << 20)
        #expect(try await world.seqs().count == 10)
        #expect(try await world.retention.verify().findings.isEmpty)
        try await world.reopen()
        #expect(size() < before / 4, "\(size()) of \(before)")
        await world.store.close()
    }

    private actor Steps {
        private var steps = 0
        func count() -> Int {
            steps += 1
            return steps
        }
    }

    @Test func theProofIsHeldAgainstTheStore() async throws {
        let world = try await World()
        #expect(try await world.retention.verify() == RetentionVerdict())
        for _ in 1...40 { try await world.send("old") }
        world.clock.advance(by: Self.day * 31)
        try await world.send("new")
        try await world.retention.purge()
        world.clock.advance(by: Self.day)
        try await world.retention.purge()
        let good = try await world.retention.verify()
        #expect(good.purges == 2 && good.findings.isEmpty && good.lastPurge == world.clock.now())
        #expect(try await world.retention.lastPurge()?.messagesAtLeast == 0)

        // Somebody puts an old message back; changes an entry; takes one out.
        func tampered(_ sql: String) async throws -> [String] {
            try await world.reopen()
            let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
            try database.execute(sql)
            return try await world.retention.verify().findings
        }
        let old = Stamp(time: Timestamp(milliseconds: world.clock.now().milliseconds - 40 * 86_400_000)).rawValue
        let planted = try await tampered(
            """
            INSERT INTO messages (message_id, chat_id, seq, kind, user_id, device_id, client_message_id, keys, body)
            VALUES (\(old), \(world.chat.rawValue), 1, 0, 1, 1, 1, x'', x'00')
            """)
        #expect(planted.count == 2, "\(planted)")
        #expect(try await tampered("DELETE FROM messages WHERE message_id = \(old)").isEmpty)
        let changed = try await tampered("UPDATE purges SET entry = replace(entry, '=32', '=16') WHERE entry LIKE '%=32 %'")
        #expect(changed.count == 1 && changed[0].contains("entry 1"), "\(changed)")
        #expect(try await tampered("UPDATE purges SET entry = replace(entry, '=16', '=32') WHERE entry LIKE '%=16 %'").isEmpty)
        let cut = try await tampered("DELETE FROM purges WHERE stamp = (SELECT min(stamp) FROM purges)")
        #expect(cut.count == 1 && cut[0].contains("entry 1"), "\(cut)")
        await world.store.close()
    }

    @Test func oneAtATime() async throws {
        let world = try await World()
        for _ in 1...Limits.purgeStepRows + 1 { try await world.send("old") }
        world.clock.advance(by: Self.day * 31)
        let (entered, enter) = AsyncStream<Void>.makeStream()
        let (leave, release) = AsyncStream<Void>.makeStream()
        let slow = Retention(
            writer: world.store.writer, readers: world.store.readers, clock: world.clock, monotonic: SystemMonotonicClock(), pushMembers: 1000,
            rest: { _ in
                enter.yield()
                _ = await leave.first { _ in true }
            })
        let first = Task { try await slow.purge() }
        _ = await entered.first { _ in true }
        #expect(slow.progress?.phase == .deleting && slow.progress?.messages == Limits.purgeStepRows)
        await #expect(throws: RetentionError.self) { try await slow.purge() }
        #expect(await slow.stop())
        release.yield()
        release.finish()
        await #expect(throws: RetentionError.self) { try await first.value }
        #expect(slow.progress == nil)
        // That it was stopped is for the purge to know: whoever looks is answered.
        #expect(try await slow.plan().messages == 1)
        #expect(try await slow.verify().findings.isEmpty)
        #expect(await !slow.stop())
        await world.store.close()
    }

    @Test func classesThatAreNot() async throws {
        let world = try await World()
        let actor = Actor(uid: 0, operation: "retention/set", subject: "x")
        await #expect(throws: RetentionError.self) { try await world.retention.set(nil, of: "x", actor: actor) }
        await #expect(throws: RetentionError.self) { try await world.retention.set(nil, of: "", actor: actor) }
        await #expect(throws: RetentionError.self) { try await world.retention.assign(world.users[0], to: "x", actor: actor) }
        await #expect(throws: RetentionError.self) { try await world.retention.assign(UserID(5), to: nil, actor: actor) }
        await world.store.close()
    }
}
