import RelayClient
import RelayModel
import Testing

@Suite struct ChatOrderTests {
    @Test func risingIsInOrder() {
        var order = ChatOrder()
        #expect(order.received(5) == .inOrder)
        #expect(order.received(6) == .inOrder)
        #expect(order.received(7) == .inOrder)
        #expect(order.highest == 7)
    }

    @Test func whatIsSkippedIsAGap() {
        var order = ChatOrder(highest: 3)
        #expect(order.received(7) == .gap(4...6))
        #expect(order.received(8) == .inOrder)
    }

    @Test func whatComesBelowIsLate() {
        var order = ChatOrder(highest: 9)
        #expect(order.received(9) == .late)
        #expect(order.received(4) == .late)
        #expect(order.highest == 9)
    }

    @Test func filling() {
        #expect(ChatOrder.filling(5, in: 5...5) == [])
        #expect(ChatOrder.filling(4, in: 4...6) == [5...6])
        #expect(ChatOrder.filling(6, in: 4...6) == [4...5])
        #expect(ChatOrder.filling(5, in: 4...6) == [4...4, 6...6])
        #expect(ChatOrder.filling(9, in: 4...6) == [4...6])
    }

    /// Whatever subset of 1…n arrives in order: gaps and arrivals together are all places between the first and the last arrival.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func gapsAndArrivalsCoverEverything(seed: UInt64) {
        print("ChatOrderTests seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let arrivals = (1...UInt64.random(in: 1...60, using: &generator)).filter { _ in Bool.random(using: &generator) }
            var order = ChatOrder()
            var covered: [UInt64] = []
            for seq in arrivals {
                if case .gap(let gap) = order.received(seq) { covered += gap }
                covered.append(seq)
            }
            guard let first = arrivals.first, let last = arrivals.last else { continue }
            #expect(covered == Array(first...last))
        }
    }

    @Test func gapMarkers() {
        var order = ChatOrder(highest: 5)
        #expect(order.gone(upTo: 9) == 6...9)
        #expect(order.highest == 9)
        #expect(order.gone(upTo: 9) == nil)
        #expect(order.gone(upTo: 3) == nil)
        #expect(order.received(10) == .inOrder)
        var new = ChatOrder()
        #expect(new.gone(upTo: 40, joined: 30) == 30...40)
        var joinedLater = ChatOrder()
        #expect(joinedLater.gone(upTo: 40, joined: 41) == nil)
        #expect(joinedLater.received(41) == .inOrder)
    }

    @Test func membershipsBeginAnew() {
        var order = ChatOrder(highest: 5)
        order.joined(at: 20)
        #expect(order.received(20) == .inOrder)
        order.joined(at: 21)
        #expect(order.highest == 20)
        #expect(order.received(22) == .gap(21...21))
        // A place that was passed already does not lead back.
        order.joined(at: 7)
        #expect(order.highest == 22)
    }
}
