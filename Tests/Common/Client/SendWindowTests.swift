import RelayClient
import RelayModel
import Testing

private typealias Sealed = SendWindow.Sealed

private func sealed(_ row: Int64, chat: UInt64 = 1, _ id: UInt64) -> SendWindow.Sealed {
    SendWindow.Sealed(row: row, chat: ChatID(chat), clientMessageID: id)
}

@Suite struct SendWindowTests {
    @Test func sendsInOrderUpToTheLimit() {
        var window = SendWindow()
        window.add((1...100).map { sealed(Int64($0), UInt64($0)) })
        #expect(window.take().map(\.clientMessageID) == Array(1...UInt64(Limits.clientSendsInFlight)))
        #expect(window.take() == [])
        #expect(window.room == 0)
        #expect(window.answered(1)?.row == 1)
        #expect(window.take().map(\.clientMessageID) == [UInt64(Limits.clientSendsInFlight) + 1])
        #expect(window.answered(1) == nil)
    }

    @Test func aLostConnectionRepeatsTheSame() {
        var window = SendWindow()
        window.add([sealed(1, 1), sealed(2, 2), sealed(3, 3)])
        let first = window.take()
        _ = window.answered(2)
        window.disconnected()
        #expect(window.take() == [first[0], first[2]])
    }

    /// Nothing of the chat is numbered anew while an answer of the chat is unknown.
    @Test func refusedChatsWaitForAllAnswers() {
        var window = SendWindow()
        window.add([sealed(1, chat: 1, 1), sealed(2, chat: 1, 2), sealed(3, chat: 2, 3), sealed(4, chat: 1, 4)])
        _ = window.take()
        let held = window.mustReseal(1)
        #expect(held == ChatID(1))
        #expect(window.isHolding && window.room == 0)
        #expect(window.resealable() == [])
        #expect(window.mustReseal(2) == ChatID(1))
        #expect(window.answered(4)?.row == 4)
        #expect(window.resealable() == [ChatID(1)])
        #expect(window.takeForResealing(ChatID(1)).map(\.row) == [1, 2])
        #expect(!window.isHolding)
        #expect(window.inFlight.map(\.row) == [3])
    }

    /// What had not been sent yet is held with the rest of its chat.
    @Test func unsentOnesOfTheChatAreHeldToo() {
        var window = SendWindow()
        window.add((1...70).map { sealed(Int64($0), UInt64($0)) })
        _ = window.take()
        for id in 1...UInt64(Limits.clientSendsInFlight) { _ = window.mustReseal(id) }
        #expect(window.take() == [])
        #expect(window.takeForResealing(ChatID(1)).map(\.row) == Array(1...70))
        #expect(window.isEmpty)
    }

    /// A relay that refuses one for its rate refuses all behind it: they go out again together, in order, before anything new.
    @Test func rateLimitedOnesGoAgainInOrder() {
        var window = SendWindow()
        window.add((1...70).map { sealed(Int64($0), UInt64($0)) })
        _ = window.take()
        for id in 1...10 as ClosedRange<UInt64> { _ = window.answered(id) }
        for id in 11...64 as ClosedRange<UInt64> { window.mustWait(id) }
        #expect(window.take() == [])
        let over = window.resume()
        #expect(over)
        #expect(window.take().map(\.clientMessageID) == Array(11...70))
    }

    @Test func overloadedStopsAllUntilItIsOver() {
        var window = SendWindow()
        window.add([sealed(1, 1), sealed(2, 2), sealed(3, 3)])
        _ = window.take()
        window.mustWait(1)
        #expect(window.take() == [])
        let early = window.resume()
        #expect(!early)
        _ = window.answered(2)
        window.mustWait(3)
        let later = window.resume()
        #expect(later)
        #expect(window.take().map(\.clientMessageID) == [1, 3])
    }

    /// A made-up relay that refuses, is busy and loses connections at random: each message is accepted exactly once, each chat keeps its order.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func exactlyOnceInOrder(seed: UInt64) throws {
        print("SendWindowTests.exactlyOnceInOrder seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            // The outbox: row → chat; rows are written in order.
            let rows = (1...Int64.random(in: 1...150, using: &generator)).map { (row: $0, chat: ChatID(.random(in: 1...3, using: &generator))) }
            var unsealed = rows[...]
            var highest: UInt64 = 0
            var window = SendWindow()
            // The relay.
            var accepted: [UInt64: Int64] = [:]
            var acceptedRows: [Int64] = []
            var relayHighest: UInt64 = 0
            var version: [ChatID: Int] = [:]
            var sealedFor: [UInt64: Int] = [:]
            var fetched: [ChatID: Int] = [:]
            var answered: [Int64] = []
            var wire: [Sealed] = []
            var stale: Set<ChatID> = []

            var rounds = 0
            while answered.count < rows.count {
                rounds += 1
                try #require(rounds < 20_000, "no progress")
                for chat in window.resealable() {
                    if stale.remove(chat) != nil { fetched[chat] = version[chat, default: 0] }
                    window.add(
                        window.takeForResealing(chat).map { old in
                            highest += 1
                            sealedFor[highest] = fetched[chat, default: 0]
                            return sealed(old.row, chat: chat.rawValue, highest)
                        })
                }
                while window.room > 0, let next = unsealed.popFirst() {
                    highest += 1
                    sealedFor[highest] = fetched[next.chat, default: 0]
                    window.add([sealed(next.row, chat: next.chat.rawValue, highest)])
                }
                let taken = window.take()
                #expect(zip(taken, taken.dropFirst()).allSatisfy { $0.clientMessageID < $1.clientMessageID })
                wire += taken

                switch Int.random(in: 0..<40, using: &generator) {
                case 0:
                    // The connection breaks; the relay has handled some of what was on the wire, and nobody heard of it.
                    for send in wire.prefix(Int.random(in: 0...wire.count, using: &generator)) where send.clientMessageID > relayHighest {
                        guard sealedFor[send.clientMessageID] == version[send.chat, default: 0] else { continue }
                        relayHighest = send.clientMessageID
                        accepted[send.clientMessageID] = send.row
                        acceptedRows.append(send.row)
                    }
                    wire = []
                    window.disconnected()
                    continue
                case 1:
                    // A device is enrolled: all that is sealed for the chat is stale.
                    version[ChatID(.random(in: 1...3, using: &generator)), default: 0] += 1
                case 2 where !wire.isEmpty:
                    // The relay is too busy for all that is on the wire.
                    for send in wire { window.mustWait(send.clientMessageID) }
                    wire = []
                    while !window.resume() {}
                    continue
                default: break
                }
                guard !wire.isEmpty else { continue }
                let send = wire.removeFirst()
                if send.clientMessageID <= relayHighest {
                    if let row = accepted[send.clientMessageID] {
                        #expect(row == send.row, "a retry is the same message")
                        if window.answered(send.clientMessageID) != nil { answered.append(row) }
                    } else {
                        _ = window.mustReseal(send.clientMessageID)
                        highest = max(highest, relayHighest)
                    }
                } else if sealedFor[send.clientMessageID] != version[send.chat, default: 0] {
                    _ = window.mustReseal(send.clientMessageID)
                    stale.insert(send.chat)
                } else {
                    relayHighest = send.clientMessageID
                    accepted[send.clientMessageID] = send.row
                    acceptedRows.append(send.row)
                    if window.answered(send.clientMessageID) != nil { answered.append(send.row) }
                }
            }
            #expect(acceptedRows.count == rows.count)
            #expect(Set(acceptedRows).count == rows.count)
            let chatOf = Dictionary(uniqueKeysWithValues: rows.map { ($0.row, $0.chat) })
            for chat in 1...3 {
                let inChat = acceptedRows.filter { chatOf[$0] == ChatID(UInt64(chat)) }
                #expect(inChat == inChat.sorted(), "chat \(chat) keeps its order")
            }
        }
    }
}
