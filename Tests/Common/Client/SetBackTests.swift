import RelayModel
import RelaySQLite
import RelayTestSupport
import RelayWire
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

    /// What a relay has of the chat: which message stands at each place. Its pages have three.
    private struct Relay: Sendable {
        var messages: [UInt64: UInt64]
        var gone: UInt64?

        func page(_ question: Session.PageQuestion) -> Relay_V1_MessagesPage {
            let places: [UInt64]
            switch question {
            case .after(let seq): places = messages.keys.filter { $0 > seq }.sorted()
            case .before(let seq): places = messages.keys.filter { $0 < seq }.sorted(by: >)
            }
            var page = Relay_V1_MessagesPage()
            if places.count > 3 { page.next = places[2] }
            page.messages = places.prefix(3).map { place in
                var envelope = Relay_V1_Envelope()
                envelope.chatID = 77
                envelope.chatSeq = place
                if place == gone { envelope.gone = true } else { envelope.messageID = messages[place] ?? 0 }
                return envelope
            }
            return page
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

    /// What is announced is fetched from where the relay and the device have the same.
    @Test func anAnnouncedChatIsFetchedFromWhereItWasSetBack() async throws {
        let room = try Room("alice", "bob")
        let session = try room["alice"].session
        func fetched(_ relay: Relay, behind seq: UInt64, _ known: UInt64, _ message: UInt64) async throws -> String {
            let known = ClientState.KnownPlace(seq: known, message: MessageID(message))
            let page = try await session.page(behind: seq, known: known) {
                @Sendable (question: Session.PageQuestion) async throws(ClientError) -> Relay_V1_MessagesPage in relay.page(question)
            }
            return "\(page.messages.map(\.chatSeq)) \(page.next)"
        }
        func relay(_ places: ClosedRange<UInt64>, _ message: (UInt64) -> UInt64) -> Relay {
            Relay(messages: Dictionary(uniqueKeysWithValues: places.map { ($0, message($0)) }))
        }
        var before = relay(1...20) { $0 * 100 }
        // Nothing new; something new; more than a page.
        #expect(try await fetched(before, behind: 20, 20, 2000) == "[] 0")
        #expect(try await fetched(before, behind: 19, 19, 1900) == "[20] 0")
        #expect(try await fetched(before, behind: 10, 10, 1000) == "[11, 12] 12")
        // What stands at the known place here has expired there.
        before.messages[10] = nil
        #expect(try await fetched(before, behind: 10, 10, 1000) == "[11, 12, 13] 13")
        // Ten are left, and the chat has grown again: not as far as before, and farther.
        for last in [15, 25] as [UInt64] {
            var again = relay(1...last) { $0 <= 10 ? $0 * 100 : 5000 + $0 }
            let known = min(last, 20)
            #expect(try await fetched(again, behind: 20, known, known * 100) == "[11, 12, 13] 13")
            // A gap has no message of its own.
            again.gone = 10
            #expect(try await fetched(again, behind: 20, known, known * 100) == "[10, 11, 12] 12")
        }
        // Nothing is left of what it had.
        #expect(try await fetched(relay(1...8) { 5000 + $0 }, behind: 20, 8, 800) == "[1, 2, 3] 3")
    }

    /// The first announcement of a connection is looked into, wherever it says the chat ends; a later one when it says something new.
    @Test func anAnnouncementBelowWhatIsKnownIsLookedInto() async throws {
        let room = try Room("alice", "bob", "carol")
        let chat = room.chat
        for text in ["one", "two", "three"] { try await room.says(text, from: "bob", without: []) }
        _ = try await room["alice"].session.inside { session, state, effects in
            var frame = Relay_V1_ServerFrame()
            frame.announcement.chatID = chat.rawValue
            frame.announcement.chatSeq = 2
            try session.apply(frame, state, &effects)
            try session.storeFetched(state, &effects)
            let first = session.behind
            #expect(first == [chat: 2])
            let page = effects.page
            #expect(page?.after == 3 && page?.known == ClientState.KnownPlace(seq: 2, message: MessageID(1002)))
            // While that is asked, what comes may be above the places that are left.
            frame.announcement.chatSeq = 3
            try session.apply(frame, state, &effects)
            let meanwhile = session.behind
            #expect(meanwhile == [chat: 3])
            session.behind = [:]
            session.fetch = nil
            try session.apply(frame, state, &effects)
            let same = session.behind
            #expect(same.isEmpty)
            frame.announcement.chatSeq = 4
            try session.apply(frame, state, &effects)
            let new = session.behind
            #expect(new == [chat: 4])
        }
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
