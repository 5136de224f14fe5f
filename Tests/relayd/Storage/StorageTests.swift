import NIOCore
import RelayModel
import RelaySQLite
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayStorage

private func keys(_ byte: UInt8) -> DeviceKeySet {
    DeviceKeySet(
        identityKey: [UInt8](repeating: byte, count: 32), agreementKey: [UInt8](repeating: byte, count: 32),
        agreementSignature: [UInt8](repeating: byte, count: 64))
}

/// A store on the disk with alice (two devices), bob (one), and their chat unless they have to ask first.
final class World {
    let directory: TemporaryDirectory
    let store: Store
    let clock = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))
    var alice = UserID(1)
    var bob = UserID(1)
    var devices: [DeviceID] = []
    var chat = ChatID(1)

    init(record: Bool = false, policy: ContactPolicy = ContactPolicy(everyone: true)) async throws {
        directory = try TemporaryDirectory()
        store = try Store(
            path: directory.file("relay.db"), clock: clock, record: record ? directory.file("record") : nil,
            onFailure: { Issue.record("the store failed: \($0)") })
        _ = try await perform(.setContactPolicy(policy))
        alice = try await addUser("alice", invite: 1)
        bob = try await addUser("bob", invite: 2)
        devices.append(try await enrol(1))
        _ = try await perform(.addInvite(AddInvite(user: alice, hash: [3], expires: clock.now() + .seconds(60))))
        devices.append(try await enrol(3))
        devices.append(try await enrol(2))
        guard policy.everyone else { return }
        self.chat = try await openChat()
    }

    struct Failure: Error {}

    func perform(_ command: Command) async throws -> Outcome { try await store.writer.perform(command) }

    func addUser(_ name: String, invite: UInt8) async throws -> UserID {
        let command = AddUser(
            name: try UserName(name), displayName: nil, avatar: nil, inviteHash: [invite], inviteExpires: clock.now() + .seconds(60))
        guard case .userAdded(let user, _) = try await perform(.addUser(command)) else { throw Failure() }
        return user
    }

    func enrol(_ invite: UInt8) async throws -> DeviceID {
        guard case .enrolled(let enrolled) = try await tryToEnrol(invite) else { throw Failure() }
        return enrolled.device
    }

    func tryToEnrol(_ invite: UInt8, limit: Int = 5, keys given: DeviceKeySet? = nil) async throws -> Outcome {
        try await perform(
            .enrolDevice(EnrolDevice(inviteHash: [invite], deviceName: "device", keys: given ?? keys(invite), devicesPerUser: limit)))
    }

    func message(_ number: UInt64, to recipients: [(UserID, [DeviceID])]? = nil, body: String = "ciphertext") -> Send {
        let recipients = recipients ?? [(alice, [devices[0], devices[1]]), (bob, [devices[2]])]
        return Send(
            user: alice, device: devices[0], chat: chat, clientMessageID: number, body: ByteBuffer(string: body),
            keys: recipients.map { user, devices in
                var packed = PackedKeys()
                for device in devices { packed.append(device, key: [UInt8](repeating: UInt8(truncatingIfNeeded: device.rawValue), count: 48)) }
                return MemberKeys(user: user, keys: packed)
            })
    }

    func openChat() async throws -> ChatID {
        guard case .chatOpened(let chat) = try await perform(.openChat(alice, bob)) else { throw Failure() }
        return chat
    }

    func send(_ number: UInt64) async throws -> SentOutcome {
        guard case .sent(let sent) = try await perform(.send(message(number))) else { throw Failure() }
        return sent
    }
}

func rejection(_ outcome: Outcome) -> Rejection? {
    if case .rejected(let rejection) = outcome { rejection } else { nil }
}

@Suite struct StorageTests {
    @Test func aMessageReachesBothMailboxesInOneOrder() async throws {
        let world = try await World()
        let first = try await world.send(1)
        let second = try await world.send(2)
        #expect(first.chatSeq == 1)
        #expect(second.chatSeq == 2)
        #expect(first.message < second.message)
        for user in [world.alice, world.bob] {
            let page = try await world.store.readers.read { try $0.mailbox(of: user, after: 0, limit: 10, bytes: 1 << 20) }.envelopes
            #expect(page.map(\.mailboxSeq) == [first.message.rawValue, second.message.rawValue])
            #expect(page.map(\.message) == [first.message, second.message])
            #expect(page.allSatisfy { String(buffer: $0.body) == "ciphertext" })
        }
        await world.store.close()
    }

    @Test func aRetryGetsTheFirstAnswerAndIsNotDeliveredAgain() async throws {
        let world = try await World()
        let first = try await world.send(7)
        _ = try await world.send(8)
        let again = try await world.send(7)
        #expect(again.message == first.message)
        #expect(again.chatSeq == first.chatSeq)
        #expect(again.publication == nil)
        let bob = world.bob
        #expect(try await world.store.readers.read { try $0.pending(for: bob, behind: 0) } == 2)
        // A number that was passed over was never accepted, and says so.
        #expect(rejection(try await world.perform(.send(world.message(5)))) == .clientMessageIDUsed(highest: 8))
        await world.store.close()
    }

    @Test func theFirstAnswerSurvivesARestart() async throws {
        let world = try await World()
        let first = try await world.send(7)
        await world.store.close()
        let reopened = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        guard case .sent(let again) = try await reopened.writer.perform(.send(world.message(7))) else { throw World.Failure() }
        #expect(again.message == first.message)
        guard case .sent(let next) = try await reopened.writer.perform(.send(world.message(8))) else { throw World.Failure() }
        #expect(next.chatSeq == 2)
        #expect(next.message > first.message)
        await reopened.close()
    }

    @Test func aWrongDeviceSetIsAnsweredWithTheDifference() async throws {
        let world = try await World()
        let stranger = DeviceID(99)
        let command = world.message(1, to: [(world.alice, [world.devices[0]]), (world.bob, [world.devices[2], stranger])])
        #expect(
            rejection(try await world.perform(.send(command)))
                == .deviceSetMismatch([
                    DeviceSetDifference(user: world.alice, missing: [world.devices[1]], extra: []),
                    DeviceSetDifference(user: world.bob, missing: [], extra: [stranger]),
                ]))
        // The number of a refused message may be used again.
        #expect(try await world.send(1).chatSeq == 1)
        await world.store.close()
    }

    @Test func outsidersAndRevokedDevicesCannotSend() async throws {
        let world = try await World()
        let carol = try await world.addUser("carol", invite: 9)
        let device = try await world.enrol(9)
        var command = world.message(1)
        command.user = carol
        command.device = device
        #expect(rejection(try await world.perform(.send(command))) == .chatUnknown)
        _ = try await world.perform(.revokeDevice(world.devices[0]))
        #expect(rejection(try await world.perform(.send(world.message(1)))) == .deviceUnknown)
        await world.store.close()
    }

    @Test func aSuspendedUserSendsNothingAndReceivesAll() async throws {
        let world = try await World()
        let first = try await world.send(1)
        guard case .done = try await world.perform(.suspendUser(world.alice, reason: "x")) else { throw World.Failure() }
        #expect(rejection(try await world.perform(.send(world.message(2)))) == .userSuspended)
        // What was accepted before is still known as such.
        #expect(try await world.send(1).message == first.message)
        await world.store.close()
        let reopened = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        #expect(rejection(try await reopened.writer.perform(.send(world.message(2)))) == .userSuspended)
        _ = try await reopened.writer.perform(.resumeUser(world.alice))
        _ = try await reopened.writer.perform(.suspendUser(world.bob, reason: nil))
        guard case .sent(let second) = try await reopened.writer.perform(.send(world.message(2))) else { throw World.Failure() }
        #expect(second.chatSeq == 2)
        // An invite is not spent on a suspended user.
        _ = try await reopened.writer.perform(.addInvite(AddInvite(user: world.bob, hash: [9], expires: world.clock.now() + .seconds(60))))
        let enrolment = Command.enrolDevice(EnrolDevice(inviteHash: [9], deviceName: "device", keys: keys(9), devicesPerUser: 5))
        #expect(rejection(try await reopened.writer.perform(enrolment)) == .userSuspended)
        _ = try await reopened.writer.perform(.removeUser(world.bob))
        #expect(rejection(try await reopened.writer.perform(.suspendUser(world.bob, reason: nil))) == .userUnknown)
        #expect(rejection(try await reopened.writer.perform(.resumeUser(world.bob))) == .userUnknown)
        let exceptional = try await reopened.readers.read { try $0.exceptionalUsers() }
        #expect(exceptional.suspended.isEmpty)
        await reopened.close()
    }

    /// The columns that came later are added to a store that has rows.
    @Test func anOlderStoreIsMigrated() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("relay.db")
        do {
            let database = try Database(path: path, access: .readWriteCreate)
            try database.execute(Schema.migrations[0].sql)
            try database.execute("PRAGMA user_version = 1")
            try database.execute("INSERT INTO users (user_id, name) VALUES (7, 'alice')")
        }
        let store = try Store(path: path, onFailure: { Issue.record("\($0)") })
        let row = try await store.readers.read { try $0.user(UserID(7)) }
        #expect(row?.name.text == "alice" && row?.suspension == nil && row?.noLimits == false)
        await store.close()
    }

    @Test func anInviteWorksOnceAndInTime() async throws {
        let world = try await World()
        // The same device asks again because it never got the answer; another one does not get it.
        guard case .enrolled(let again) = try await world.tryToEnrol(1) else { throw World.Failure() }
        #expect(again.device == world.devices[0])
        #expect(rejection(try await world.tryToEnrol(1, keys: keys(88))) == .inviteUsed)
        #expect(rejection(try await world.tryToEnrol(77)) == .inviteUnknown)
        _ = try await world.perform(.addInvite(AddInvite(user: world.bob, hash: [4], expires: world.clock.now() + .seconds(60))))
        #expect(rejection(try await world.tryToEnrol(4, limit: 1)) == .deviceLimitReached(limit: 1))
        world.clock.advance(by: .seconds(61))
        #expect(rejection(try await world.tryToEnrol(4)) == .inviteExpired)
        await world.store.close()
    }

    @Test func aNewDeviceBeginsAtTheEndOfTheMailbox() async throws {
        let world = try await World()
        _ = try await world.send(1)
        _ = try await world.perform(.addInvite(AddInvite(user: world.bob, hash: [4], expires: world.clock.now() + .seconds(60))))
        let (tablet, bob) = (try await world.enrol(4), world.bob)
        let cursor = try await world.store.readers.read { try $0.cursor(of: tablet) }
        #expect(try await world.store.readers.read { try $0.pending(for: bob, behind: cursor) } == 0)
        _ = try await world.perform(.send(world.message(2, to: [(world.alice, Array(world.devices[0...1])), (bob, [world.devices[2], tablet])])))
        #expect(try await world.store.readers.read { try $0.pending(for: bob, behind: cursor) } == 1)
        await world.store.close()
    }

    @Test func receiptsOnlyRise() async throws {
        let world = try await World()
        for number in 1...5 { _ = try await world.send(UInt64(number)) }
        let chat = world.chat
        func acknowledge(_ seq: UInt64) async throws {
            let delivered = [ChatPosition(chat: chat, seq: seq)]
            _ = try await world.perform(
                .acknowledge([Acknowledge(user: world.bob, device: world.devices[2], mailboxSeq: seq, delivered: delivered)]))
        }
        try await acknowledge(3)
        try await acknowledge(2)
        _ = try await world.perform(.read(world.bob, chat, chatSeq: 4))
        _ = try await world.perform(.read(world.bob, chat, chatSeq: 1))
        let rows = try await world.store.readers.read { try $0.receipts(of: chat) }
        #expect(rows.map(\.deliveredSeq) == [4])
        #expect(rows.map(\.readSeq) == [4])
        #expect(rejection(try await world.perform(.read(world.bob, chat, chatSeq: 6))) == .positionUnknown)
        await world.store.close()
    }

    @Test func receiptsAreReadInWholeVersions() async throws {
        let world = try await World()
        var chats: [ChatID] = [world.chat]
        for number in 0..<4 as Range<UInt8> {
            let peer = try await world.addUser("peer\(number)", invite: 100 + number)
            guard case .chatOpened(let chat) = try await world.perform(.openChat(world.bob, peer)) else { throw World.Failure() }
            let device = try await world.enrol(100 + number)
            var command = world.message(1, to: [(world.bob, [world.devices[2]]), (peer, [device])])
            (command.user, command.device, command.chat) = (peer, device, chat)
            _ = try await world.perform(.send(command))
            chats.append(chat)
        }
        _ = try await world.send(1)
        for part in [chats[..<2], chats[2...]] {
            let delivered = part.map { ChatPosition(chat: $0, seq: 1) }
            _ = try await world.perform(
                .acknowledge([Acknowledge(user: world.bob, device: world.devices[2], mailboxSeq: 5, delivered: delivered)]))
        }
        // Two versions of two and three rows: a page of four must end between them.
        let bob = world.bob
        let first = try await world.store.readers.read { try $0.receipts(for: bob, after: 0, limit: 4) }
        #expect(first.rows.count == 2)
        #expect(first.more)
        let version = first.rows.last?.version ?? 0
        let second = try await world.store.readers.read { try $0.receipts(for: bob, after: version, limit: 4) }
        #expect(second.rows.count == 3)
        #expect(!second.more)
        await world.store.close()
    }

    @Test func historyFindsEachUsersKeys() async throws {
        let world = try await World()
        // Other chats lie between, so that a chat's messages are scattered over the mailbox.
        let carol = try await world.addUser("carol", invite: 9)
        let carolsPhone = try await world.enrol(9)
        guard case .chatOpened(let other) = try await world.perform(.openChat(world.alice, carol)) else { throw World.Failure() }
        var number: UInt64 = 0
        for round in 0..<60 {
            number += 1
            if round % 3 == 0 {
                _ = try await world.send(number)
            } else {
                var command = world.message(number, to: [(world.alice, [world.devices[0], world.devices[1]]), (carol, [carolsPhone])])
                command.chat = other
                _ = try await world.perform(.send(command))
            }
        }
        let (chat, alice, laptop) = (world.chat, world.alice, world.devices[1])
        let page = try await world.store.readers.read { try $0.messages(of: chat, for: alice, .before(.max), limit: 50, bytes: 1 << 20).rows }
        #expect(page.map(\.chatSeq) == Array((1...20).reversed()))
        #expect(page.allSatisfy { $0.keys.key(for: laptop)?.readableBytes == 48 })
        await world.store.close()
    }

    /// What a message weighs that the user has hidden counts for the page: it was read, and the page ends where it ends.
    @Test func aPageThatEndsBecauseOfItsBytesSaysSo() async throws {
        let world = try await World()
        for number in 1...3 as ClosedRange<UInt64> {
            guard case .sent = try await world.perform(.send(world.message(number, body: String(repeating: "x", count: 1000)))) else {
                throw World.Failure()
            }
        }
        let delete = Delete(user: world.bob, device: world.devices[2], chat: world.chat, clientMessageID: 1, seqs: [1], forEveryone: false)
        guard case .sent = try await world.perform(.delete(delete)) else { throw World.Failure() }
        let (chat, bob) = (world.chat, world.bob)
        func page(after: UInt64, _ limit: Int, _ bytes: Int) async throws -> (seqs: [UInt64], more: Bool) {
            let page = try await world.store.readers.read { try $0.messages(of: chat, for: bob, .after(after), limit: limit, bytes: bytes) }
            return (page.rows.map(\.chatSeq), page.more)
        }
        #expect(try await page(after: 0, 10, 1500) == ([1, 2], true))
        #expect(try await page(after: 2, 10, 1500) == ([3], false))
        #expect(try await page(after: 0, 2, 1 << 20) == ([1, 2], true))
        #expect(try await page(after: 0, 3, 1 << 20) == ([1, 2, 3], false))
        await world.store.close()
    }

    /// A request may have been let in before.
    @Test func whoMayNotAskAnyMoreChangesNothing() async throws {
        let world = try await World()
        let (alice, bob, device) = (world.alice, world.bob, world.devices[0])
        let commands: [Command] = [
            .contact(ContactCommand(user: alice, peer: bob, action: .block, device: device)),
            .setPresence(SetPresence(user: alice, status: true, lastSeen: nil, device: device)), .openChat(alice, bob, by: device),
        ]
        _ = try await world.perform(.suspendUser(alice, reason: nil))
        for command in commands { #expect(rejection(try await world.perform(command)) == .userSuspended) }
        _ = try await world.perform(.resumeUser(alice))
        _ = try await world.perform(.revokeDevice(device))
        for command in commands { #expect(rejection(try await world.perform(command)) == .deviceUnknown) }
        await world.store.close()
    }

    @Test func aRemovedUserLeavesNothingThatNobodyElseCanReceive() async throws {
        let world = try await World()
        for number in 1...5 { _ = try await world.send(UInt64(number)) }
        _ = try await world.perform(.removeUser(world.bob))
        #expect(rejection(try await world.perform(.send(world.message(6)))) == .recipientGone)
        // Alice can still read what she wrote.
        guard case .removed(0, remaining: false, nil) = try await world.perform(.clearUser(world.bob, limit: 3)) else { throw World.Failure() }
        let (alice, bob) = (world.alice, world.bob)
        #expect(try await world.store.readers.read { try $0.pending(for: alice, behind: 0) } == 5)
        _ = try await world.perform(.removeUser(alice))
        guard case .removed(3, remaining: true, nil) = try await world.perform(.clearUser(alice, limit: 3)) else { throw World.Failure() }
        guard case .removed(2, remaining: true, nil) = try await world.perform(.clearUser(alice, limit: 3)) else { throw World.Failure() }
        guard case .removed(0, remaining: false, nil) = try await world.perform(.clearUser(alice, limit: 3)) else { throw World.Failure() }
        #expect(try await world.store.readers.read { try $0.unfinishedRemovals() }.isEmpty)
        #expect(try await world.addUser("bob", invite: 8) != bob)
        // The name that a person gave a device goes with it; the public keys stay, for what it sent.
        let phone = world.devices[2]
        let device = try await world.store.readers.read { try $0.anyDevice(phone) }
        #expect(device?.name == "")
        #expect(device?.keys == keys(2))
        await world.store.close()
    }

    @Test func twoRelaysCannotShareAStore() async throws {
        let world = try await World()
        #expect(throws: StoreError.self) { try Store(path: world.directory.file("relay.db"), onFailure: { _ in }) }
        await world.store.close()
    }

    @Test func aStoreOfANewerVersionIsRefused() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("relay.db")
        let store = try Store(path: path, onFailure: { _ in })
        await store.close()
        try Database(path: path, access: .readWriteCreate).execute("PRAGMA user_version = 1000")
        #expect(throws: StoreError.self) { try Store(path: path, onFailure: { _ in }) }
    }

    /// The same commands give the same tables, whatever the batches.
    @Test(arguments: [1, 3, 1000]) func replayGivesTheSameTables(batch: Int) async throws {
        let world = try await World(record: true)
        let seed: UInt64 = 42
        var generator = SeededGenerator(seed: seed)
        let store = world.store
        await withTaskGroup(of: Void.self) { group in
            for number in 1...200 as ClosedRange<UInt64> {
                let command: Command
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: command = .read(world.bob, world.chat, chatSeq: UInt64.random(in: 0...number, using: &generator))
                case 1:
                    let seq = UInt64.random(in: 0...number, using: &generator)
                    let entry = Acknowledge(
                        user: world.bob, device: world.devices[2], mailboxSeq: seq, delivered: [ChatPosition(chat: world.chat, seq: seq)])
                    command = .acknowledge(Array(repeating: entry, count: Int.random(in: 1...3, using: &generator)))
                default: command = .send(world.message(UInt64.random(in: 1...number, using: &generator), body: "body \(number)"))
                }
                group.addTask { _ = try? await store.writer.perform(command) }
            }
        }
        _ = try await world.perform(.revokeDevice(world.devices[1]))
        await store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: world.directory.file("record"), toStoreAt: copy, batch: batch)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")), "seed \(seed)")
    }

    @Test func theWriterCommitsInBatchesAndDrainsBeforeItStops() async throws {
        let world = try await World()
        let before = world.store.writer.statistics
        let answered = Mutex(0)
        for number in 1...2000 as ClosedRange<UInt64> {
            try world.store.writer.submit(.send(world.message(number)), reply: .call { _ in answered.withLock { $0 += 1 } })
        }
        await world.store.close()
        #expect(answered.withLock { $0 } == 2000)
        let after = world.store.writer.statistics
        #expect(after.commands - before.commands == 2000)
        #expect(after.commits - before.commits < 500, "natural group commit")
        #expect(throws: WriterError.stopping) { try world.store.writer.submit(.send(world.message(1)), reply: .call { _ in }) }
    }
}
