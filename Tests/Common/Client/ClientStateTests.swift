import Foundation
import RelayCrypto
import RelayModel
import Testing

@testable import RelayClient

/// A directory of its own for each test, removed afterwards.
final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "relay-client-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var directory: StateDirectory { StateDirectory(path + "/alice.phone") }
}

private func mode(_ path: String) throws -> Int {
    try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
}

@Suite struct ClientStateTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    func create() throws -> ClientState {
        let (state, _) = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy())
        return state
    }

    func enrolled() throws -> ClientState {
        let state = try create()
        try state.completeEnrolment(user: UserID(1), name: "alice", device: DeviceID(11))
        return state
    }

    func received(_ seq: UInt64, chat: UInt64 = 5, from user: UInt64 = 2, device: UInt64 = 21, text: String? = "text") -> HistoryEntry {
        HistoryEntry(
            chat: ChatID(chat), chatSeq: seq, message: MessageID(1000 + seq), senderUser: UserID(user), senderDevice: DeviceID(device),
            clientMessageID: seq,
            sentAt: Timestamp(milliseconds: 1_800_000_000_000), writtenAt: Timestamp(milliseconds: 1_800_000_000_000), text: text,
            problem: text == nil ? "broken" : nil)
    }

    // MARK: Files

    @Test func modes() throws {
        let state = try enrolled()
        let path = state.directory.path
        #expect(try mode(path) == 0o700)
        for file in ["keys", "client.db", "client.db-wal", "client.db-shm", "lock"] { #expect(try mode("\(path)/\(file)") == 0o600, "\(file)") }
    }

    @Test(arguments: ["", "keys", "client.db", "lock"]) func refusesWiderModes(file: String) throws {
        _ = try enrolled()
        let path = file.isEmpty ? scratch.directory.path : "\(scratch.directory.path)/\(file)"
        try FileManager.default.setAttributes([.posixPermissions: file.isEmpty ? 0o750 : 0o640], ofItemAtPath: path)
        #expect {
            _ = try ClientState.open(scratch.directory)
        } throws: { error in
            guard case ClientError.state(let named, let problem, let hint) = error else { return false }
            return named == path && problem.contains("can be read by others") && hint.hasPrefix("chmod \(file.isEmpty ? "700" : "600")")
        }
        #expect(throws: ClientError.self) { try ClientState.inspect(scratch.directory) }
    }

    @Test func refusesALinkInPlaceOfTheDirectory() throws {
        let target = scratch.path + "/elsewhere"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(atPath: scratch.directory.path, withDestinationPath: target)
        #expect(throws: ClientError.self) { try create() }
    }

    @Test func oneProcessADirectory() throws {
        let held = try enrolled()
        #expect(throws: ClientError.locked(path: scratch.directory.path)) { try ClientState.open(scratch.directory) }
        // Looking is allowed.
        #expect(try ClientState.inspect(scratch.directory).1.userName == "alice")
        #expect(try held.outboxCount() == 0)
    }

    @Test func theLockEndsWithTheState() throws {
        _ = try enrolled()
        let (_, _, account) = try ClientState.open(scratch.directory)
        #expect(account.device == DeviceID(11))
    }

    @Test func keysSurviveAnInterruptedEnrolment() throws {
        let first = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy()).1
            .identityKey
        #expect(throws: ClientError.notEnrolled(path: scratch.directory.path)) { try ClientState.open(scratch.directory) }
        let second = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:2", deviceName: "phone", entropy: SystemEntropy()).1
            .identityKey
        #expect(first == second)
        _ = try enrolled()
        #expect(throws: ClientError.alreadyEnrolled(path: scratch.directory.path)) { try create() }
        #expect(try ClientState.open(scratch.directory).1.identityKey == first)
    }

    @Test(arguments: [0, 10, 84, 86]) func damagedKeys(length: Int) throws {
        _ = try enrolled()
        let path = scratch.directory.keysPath
        try Data(repeating: 7, count: length).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        #expect(throws: ClientError.self) { try ClientState.open(scratch.directory) }
    }

    @Test func missingDirectory() {
        #expect(throws: ClientError.notEnrolled(path: scratch.directory.path)) { try ClientState.open(scratch.directory) }
        #expect(throws: ClientError.self) {
            try ClientState.create(StateDirectory(scratch.path + "/a/b"), relay: "", deviceName: "", entropy: SystemEntropy())
        }
    }

    // MARK: Outbox

    @Test func outboxToHistory() throws {
        let state = try enrolled()
        let account = try #require(try state.account())
        let now = Timestamp(milliseconds: 5)
        let ids = try state.transaction { try ["one", "two", "three"].map { try state.enqueue($0, to: "bob", writtenAt: now) } }
        #expect(try state.outbox().map(\.text) == ["one", "two", "three"])
        #expect(try state.stage(of: ids[0]) == .queued)
        try state.transaction { try state.storeSealed(ids[0], chat: ChatID(5), clientMessageID: 1, [1, 2, 3]) }
        #expect(try state.sealedOutbox().map(\.id) == [ids[0]])
        #expect(try state.sealedBytes(ids[0]) == [1, 2, 3])
        #expect(try state.unsealed(limit: 10).map(\.id) == [ids[1], ids[2]])
        #expect(try state.highestClientMessageID() == 1)
        let place = SentPlace(chat: ChatID(5), clientMessageID: 1, message: MessageID(99), chatSeq: 7, sentAt: now)
        try state.transaction {
            try state.storeChat(ChatID(5), members: [UserID(1), UserID(2)])
            try state.storeSent(ids[0], place, by: account)
            // A second answer to the same changes nothing.
            try state.storeSent(ids[0], place, by: account)
        }
        #expect(try state.outboxCount() == 2)
        #expect(try state.stage(of: ids[0]) == .sent)
        try state.transaction { try state.storeReceipt(chat: ChatID(5), user: UserID(2), delivered: 6, read: 0, version: 1) }
        #expect(try state.stage(of: ids[0]) == .sent)
        try state.transaction { try state.storeReceipt(chat: ChatID(5), user: UserID(2), delivered: 7, read: 0, version: 2) }
        #expect(try state.stage(of: ids[0]) == .delivered)
        try state.transaction { try state.storeReceipt(chat: ChatID(5), user: UserID(2), delivered: 0, read: 7, version: 3) }
        #expect(try state.stage(of: ids[0]) == .read)
        let summary = try #require(try state.chats().first)
        #expect(summary.sent == 1 && summary.delivered == 1 && summary.read == 1)
    }

    @Test func deadLettersComeBack() throws {
        let state = try enrolled()
        let ids = try state.transaction { try ["one", "two"].map { try state.enqueue($0, to: "bob", writtenAt: Timestamp(milliseconds: 5)) } }
        let dead = try state.transaction { try ids.flatMap { try state.bury($0, code: "recipient_gone", reason: "gone") } }
        #expect(dead.map(\.code) == ["recipient_gone", "recipient_gone"])
        #expect(try state.stage(of: ids[0]) == .dead)
        #expect(try state.outboxCount() == 0)
        #expect(try state.deadLetters().map(\.text) == ["one", "two"])
        #expect(try state.retryDeadLetters() == 2)
        #expect(try state.outbox().map(\.text) == ["one", "two"])
        #expect(try state.outbox().allSatisfy { $0.id > ids[1] }, "a number is never used twice")
        #expect(try state.deadLetters().isEmpty)
    }

    // MARK: Receiving

    @Test func duplicatesAndOrder() throws {
        let state = try enrolled()
        try state.transaction {
            let holds1 = try state.storeReceived(received(1), mailboxSeq: 1) == .new
            #expect(holds1)
            let holds2 = try state.storeReceived(received(1), mailboxSeq: 2) == .duplicate
            #expect(holds2)
            let holds3 = try state.storeReceived(received(4), mailboxSeq: 3) == .new
            #expect(holds3)
        }
        #expect(try state.cursor() == 3)
        #expect(try state.gaps(in: ChatID(5)) == [2...3])
        try state.transaction {
            let holds = try state.storeReceived(received(3), mailboxSeq: 4) == .new
            #expect(holds)
        }
        #expect(try state.gaps(in: ChatID(5)) == [2...2])
        #expect(try state.lateArrivals() == 1)
        #expect(try state.history(chat: ChatID(5)).map(\.chatSeq) == [1, 3, 4])
    }

    /// Own messages fill their places, whether the answer came before the next envelope or after it.
    @Test func ownMessagesAreNoGaps() throws {
        let state = try enrolled()
        let account = try #require(try state.account())
        func send(_ seq: UInt64) throws {
            let id = try state.enqueue("own", to: "bob", writtenAt: Timestamp(milliseconds: 5))
            try state.storeSent(
                id, SentPlace(chat: ChatID(5), clientMessageID: seq, message: MessageID(seq), chatSeq: seq, sentAt: Timestamp(milliseconds: 6)),
                by: account)
        }
        try state.transaction {
            _ = try state.storeReceived(received(1), mailboxSeq: 1)
            try send(2)
            try send(4)
            _ = try state.storeReceived(received(6), mailboxSeq: 4)
        }
        #expect(try state.gaps(in: ChatID(5)) == [3...3, 5...5])
        try state.transaction {
            try send(5)
            try send(3)
        }
        #expect(try state.gaps(in: ChatID(5)).isEmpty)
        #expect(try state.lateArrivals() == 0)
    }

    @Test func aTransactionThatFailsLeavesNothing() throws {
        struct Stop: Error {}
        let state = try enrolled()
        #expect(throws: ClientError.self) {
            try state.transaction {
                _ = try state.storeReceived(received(1), mailboxSeq: 1)
                throw Stop()
            }
        }
        #expect(try state.cursor() == 0)
        #expect(try state.history().isEmpty)
    }

    @Test func identityKeysArePinned() throws {
        let state = try enrolled()
        func device(_ key: UInt8) -> KnownDevice {
            KnownDevice(
                id: DeviceID(21), user: UserID(2), name: "phone", identityKey: [UInt8](repeating: key, count: 32),
                agreementKey: [UInt8](repeating: 1, count: 32), active: true)
        }
        try state.transaction {
            let holds4 = try state.store(user: UserID(2), name: "bob", displayName: "", devices: [device(1)]) == [:]
            #expect(holds4)
            let holds5 = try state.store(user: UserID(2), name: "bob", displayName: "", devices: [device(2)]) == [DeviceID(21): .identity]
            #expect(holds5)
        }
        #expect(try state.devices(of: UserID(2)).map(\.identityKey.first) == [1])
        #expect(try state.devices(of: UserID(2)).map(\.active) == [false])
        // A device that is not listed any more keeps its keys, so that what it sent can still be checked.
        try state.transaction {
            try state.store(user: UserID(2), name: "bob", displayName: "", devices: [device(1)])
            try state.store(user: UserID(2), name: "bob", displayName: "", devices: [])
            try state.storeChat(ChatID(5), members: [UserID(1), UserID(2)])
            let holds6 = try state.recipients(in: ChatID(5)).isEmpty
            #expect(holds6)
            let holds7 = try state.device(DeviceID(21)) != nil
            #expect(holds7)
        }
    }

    @Test func aRemovedAndNewUserOfTheSameName() throws {
        let state = try enrolled()
        try state.transaction {
            try state.store(user: UserID(2), name: "bob", displayName: "", devices: [])
            try state.storeChat(ChatID(5), members: [UserID(1), UserID(2)])
            let holds8 = try state.openChat(with: "bob") == ChatID(5)
            #expect(holds8)
            try state.markGone(ChatID(5))
            let holds9 = try state.openChat(with: "bob") == nil
            #expect(holds9)
            let holds10 = try state.chat(with: "bob") == ChatID(5)
            #expect(holds10)
            try state.store(user: UserID(9), name: "bob", displayName: "", devices: [])
            try state.storeChat(ChatID(50), members: [UserID(1), UserID(9)])
            let holds11 = try state.openChat(with: "bob") == ChatID(50)
            #expect(holds11)
        }
    }

    /// The relay has the last word about which chat is meant, also when it goes back to an older one.
    @Test func aChatThatIsOpenedAgain() throws {
        let state = try enrolled()
        func open() throws -> ChatID? { try state.transaction { try state.openChat(with: "bob") } }
        try state.transaction {
            try state.store(user: UserID(2), name: "bob", displayName: "", devices: [])
            try state.store(user: UserID(3), name: "carol", displayName: "", devices: [])
            try state.storeChat(ChatID(5), members: [UserID(1), UserID(2)])
            try state.storeChat(ChatID(6), members: [UserID(1), UserID(3)])
            try state.markGone(ChatID(5))
            try state.markGone(ChatID(6))
        }
        #expect(try open() == nil)
        try state.transaction { try state.markOpened(ChatID(5), for: "bob") }
        #expect(try open() == ChatID(5))
        try state.transaction {
            try state.store(user: UserID(9), name: "bob", displayName: "", devices: [])
            try state.storeChat(ChatID(50), members: [UserID(1), UserID(9)])
            try state.markOpened(ChatID(50), for: "bob")
        }
        #expect(try open() == ChatID(50))
        try state.transaction { try state.markGone(ChatID(50)) }
        #expect(try open() == nil, "the one before went with the user who had the name")
        try state.transaction { try state.markOpened(ChatID(5), for: "bob") }
        #expect(try open() == ChatID(5))
        #expect(try state.transaction { try state.openChat(with: "carol") } == nil)
    }

    @Test func readsAreToldUntilTheyAreConfirmed() throws {
        let state = try enrolled()
        try state.transaction {
            try state.storeRead(ChatID(5), 3)
            try state.storeRead(ChatID(5), 2)
            let holds12 = try state.unconfirmedReads(of: UserID(1)).map(\.seq) == [3]
            #expect(holds12)
            try state.storeReceipt(chat: ChatID(5), user: UserID(1), delivered: 0, read: 3, version: 8)
            let holds13 = try state.unconfirmedReads(of: UserID(1)).isEmpty
            #expect(holds13)
        }
        #expect(try state.receiptsVersion() == 8)
    }

    /// Receipts in any order give the highest of each.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func receiptsAreMonotone(seed: UInt64) throws {
        print("ClientStateTests.receiptsAreMonotone seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let state = try enrolled()
        var highest = Watermarks(delivered: 0, read: 0)
        for _ in 0..<100 {
            let (delivered, read) = (UInt64.random(in: 0...50, using: &generator), UInt64.random(in: 0...50, using: &generator))
            try state.transaction {
                try state.storeReceipt(
                    chat: ChatID(5), user: UserID(2), delivered: delivered, read: read, version: .random(in: 1...99, using: &generator))
            }
            highest = Watermarks(delivered: max(highest.delivered, delivered, read), read: max(highest.read, read))
            #expect(try state.watermarks(in: ChatID(5), of: UserID(2)) == highest)
        }
    }

    /// Bytes survive as they are: the text comes back scalar for scalar.
    @Test(arguments: ["", "e\u{301} é", "\u{0}between", "שלום\u{200f} عالم", "👩‍👩‍👧‍👦🏳️‍🌈", "line\nfeed\ttab", "\u{FEFF}mark"]) func texts(text: String) throws
    {
        let state = try enrolled()
        try state.transaction { _ = try state.storeReceived(received(1, text: text), mailboxSeq: 1) }
        let stored = try #require(try state.history().first?.text)
        #expect(Array(stored.utf8) == Array(text.utf8))
    }
}
