import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayClient

/// A relay that was set back gives places again that it gave before: nothing is hidden, nothing is lost, nothing is shown twice.
@Suite struct SetBackTests {
    private let directory: TemporaryDirectory
    private let state: ClientState
    private let chat = ChatID(77)

    init() throws {
        directory = try TemporaryDirectory()
        let entropy = SystemEntropyForTests()
        (state, _) = try ClientState.create(
            StateDirectory(directory.file("state")), relay: "http://127.0.0.1:1", deviceName: "phone", entropy: entropy)
    }

    private struct SystemEntropyForTests: Entropy {
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }
    }

    private func entry(_ seq: UInt64, _ message: UInt64, _ text: String, number: UInt64? = nil) -> HistoryEntry {
        HistoryEntry(
            chat: chat, chatSeq: seq, message: MessageID(message), senderUser: UserID(1), senderDevice: DeviceID(5),
            clientMessageID: number ?? message, sentAt: Timestamp(milliseconds: Int64(message)), writtenAt: nil, text: text, problem: nil)
    }

    private func receive(_ entry: HistoryEntry) throws -> ClientState.Stored {
        try state.transaction {
            try state.makeRoom(in: entry.chat, at: entry.chatSeq, for: entry.message)
            return try state.storeReceived(entry, mailboxSeq: entry.message.rawValue)
        }
    }

    private var texts: [String] { get throws { try state.history().compactMap(\.text) } }

    @Test func placesAreGivenAgain() throws {
        for number in 1...5 as ClosedRange<UInt64> { #expect(try receive(entry(number, number * 100, "old \(number)")) == .new) }
        try state.transaction {
            try state.storeReceipt(chat: chat, user: UserID(9), delivered: 5, read: 4, version: 500)
            try state.storeRead(chat, 5)
        }
        // The same again is a duplicate, and no sign of anything.
        #expect(try receive(entry(5, 500, "old 5")) == .duplicate)
        // Three of five are left on the relay.
        #expect(try receive(entry(4, 1000, "new 4")) == .new)
        #expect(try texts == ["old 1", "old 2", "old 3", "old 4", "old 5", "new 4"])
        #expect(try state.watermarks(in: chat, of: UserID(9)) == Watermarks(delivered: 3, read: 3))
        #expect(try state.storing { try state.highest(chat) } == 4 && state.gaps(in: chat).isEmpty && state.lateArrivals() == 0)
        #expect(try receive(entry(5, 1100, "new 5")) == .new && receive(entry(6, 1200, "new 6")) == .new)
        #expect(try texts == ["old 1", "old 2", "old 3", "old 4", "old 5", "new 4", "new 5", "new 6"])
        #expect(try receive(entry(6, 1200, "new 6")) == .duplicate)
        // Set back once more, over both.
        #expect(try receive(entry(2, 2000, "third 2")) == .new)
        #expect(try texts == ["old 1", "old 2", "old 3", "old 4", "old 5", "new 4", "new 5", "new 6", "third 2"])
    }

    @Test func whatIsSentAgainIsTheSame() throws {
        #expect(try receive(entry(1, 100, "first", number: 1)) == .new)
        #expect(try receive(entry(2, 200, "second", number: 2)) == .new)
        #expect(try receive(entry(2, 900, "second", number: 2)) == .duplicate)
        #expect(try texts == ["first", "second"])
        #expect(try receive(entry(3, 901, "third", number: 3)) == .new)
        #expect(try texts == ["first", "second", "third"])
        #expect(try state.storing { try state.highest(chat) } == 3)
    }

    /// Answers and what is fetched come in any order; a late one is no sign that the relay was set back.
    @Test func lateOnesDisplaceNothing() throws {
        #expect(try receive(entry(1, 100, "one")) == .new)
        #expect(try receive(entry(4, 400, "four")) == .new)
        #expect(try receive(entry(2, 200, "two")) == .new)
        #expect(try receive(entry(3, 300, "three")) == .new)
        #expect(try texts == ["one", "two", "three", "four"])
        #expect(try state.rows("SELECT count(*) FROM displaced", { _ in }) { $0.integer(0) } == [0])
    }

    /// The answer to an own message comes before what others wrote in front of it: that finds older entries in its way, and a newer one behind them.
    @Test func anOwnNewMessageKeepsItsPlace() throws {
        for number in 1...20 as ClosedRange<UInt64> { #expect(try receive(entry(number, number * 100, "old \(number)")) == .new) }
        let account = Account(relay: "", user: UserID(3), userName: "carol", device: DeviceID(31), deviceName: "phone")
        try state.transaction {
            let id = try state.enqueue("mine", to: "bob", writtenAt: Timestamp(milliseconds: 1))
            try state.storeSealed(id, chat: chat, clientMessageID: 1, [1])
            try state.storeReceipt(chat: chat, user: UserID(9), delivered: 20, read: 12, version: 1)
            let place = SentPlace(
                chat: chat, clientMessageID: 1, message: MessageID(5300), chatSeq: 13, sentAt: Timestamp(milliseconds: 5300))
            try state.storeSent(id, place, by: account)
            try state.storeReceipt(chat: chat, user: UserID(9), delivered: 13, read: 0, version: 2)
        }
        #expect(try receive(entry(11, 5100, "new 11")) == .new)
        #expect(try state.storing { try state.message(chat, 13) } == MessageID(5300))
        #expect(try receive(entry(12, 5200, "new 12")) == .new && receive(entry(14, 5400, "new 14")) == .new)
        #expect(try texts == (1...20).map { "old \($0)" } + ["new 11", "new 12", "mine", "new 14"])
        #expect(try state.storing { try state.highest(chat) } == 14 && state.gapRecords(chat: chat).isEmpty && state.lateArrivals() == 0)
        // What was said of the own message is as new as the message; what was read was the old ones.
        #expect(try state.watermarks(in: chat, of: UserID(9)) == Watermarks(delivered: 13, read: 10))
        #expect(try state.rows("SELECT count(*) FROM displaced", { _ in }) { $0.integer(0) } == [10])
    }
}
