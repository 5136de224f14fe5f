/// A hashed timer wheel (Varghese and Lauck 1987, scheme 6): what is due at tick t stands in the list of slot t modulo their number, so that
/// scheduling and cancelling cost the same however much there is, and a tick looks at one slot. What is due more than a round ahead is looked at once in
/// each round. A value; its memory is that of the most that was ever in it at the same time.
package struct TimerWheel<Payload> {
    /// One scheduled payload. Good until it fires or is cancelled; afterwards it means nothing, also when its place was given away again.
    package struct Timer: Equatable, Sendable {
        fileprivate var place: Int32
        fileprivate var turn: UInt32
    }

    private struct Node {
        var payload: Payload?
        var due: UInt32
        var previous: Int32
        var next: Int32
        /// How often the place was given away.
        var turn: UInt32
    }

    private static var none: Int32 { -1 }

    /// The first node of each slot.
    private var slots: [Int32]
    private var nodes: [Node] = []
    /// The first of the places that are free, which are linked.
    private var free = TimerWheel.none
    package private(set) var count = 0
    package private(set) var now: UInt32

    /// - Parameter slots: a power of two.
    package init(slots: Int, now: UInt32) {
        precondition(slots > 0 && slots & (slots - 1) == 0)
        self.slots = Array(repeating: TimerWheel.none, count: slots)
        self.now = now
    }

    /// - Parameter tick: when it fires; at the next tick when that is over.
    package mutating func schedule(_ payload: Payload, at tick: UInt32) -> Timer {
        let due = max(tick, now + 1)
        let slot = self.slot(of: due)
        let place: Int32
        if free == TimerWheel.none {
            place = Int32(nodes.count)
            nodes.append(Node(payload: payload, due: due, previous: TimerWheel.none, next: slots[slot], turn: 0))
        } else {
            place = free
            free = nodes[Int(place)].next
            nodes[Int(place)].payload = payload
            nodes[Int(place)].due = due
            nodes[Int(place)].previous = TimerWheel.none
            nodes[Int(place)].next = slots[slot]
        }
        if slots[slot] != TimerWheel.none { nodes[Int(slots[slot])].previous = place }
        slots[slot] = place
        count += 1
        return Timer(place: place, turn: nodes[Int(place)].turn)
    }

    /// - Returns: false when it has fired or was cancelled before.
    @discardableResult
    package mutating func cancel(_ timer: Timer) -> Bool {
        let place = Int(timer.place)
        guard place < nodes.count, nodes[place].turn == timer.turn, nodes[place].payload != nil else { return false }
        remove(timer.place)
        return true
    }

    /// Goes on to a tick. Gives what has become due, in the order of the ticks.
    package mutating func advance(to tick: UInt32) -> [Payload] {
        guard tick > now else { return [] }
        var fired: [(due: UInt32, payload: Payload)] = []
        // A round at most: then every slot was looked at.
        for step in 1...min(tick - now, UInt32(slots.count)) { collect(slot(of: now + step), upTo: tick, into: &fired) }
        if tick - now > 1 { fired.sort { $0.due < $1.due } }
        now = tick
        return fired.map(\.payload)
    }

    private mutating func collect(_ slot: Int, upTo tick: UInt32, into fired: inout [(due: UInt32, payload: Payload)]) {
        var place = slots[slot]
        while place != TimerWheel.none {
            let node = nodes[Int(place)]
            if node.due <= tick, let payload = node.payload {
                fired.append((node.due, payload))
                remove(place)
            }
            place = node.next
        }
    }

    private mutating func remove(_ place: Int32) {
        let node = nodes[Int(place)]
        if node.previous == TimerWheel.none {
            slots[slot(of: node.due)] = node.next
        } else {
            nodes[Int(node.previous)].next = node.next
        }
        if node.next != TimerWheel.none { nodes[Int(node.next)].previous = node.previous }
        nodes[Int(place)].payload = nil
        nodes[Int(place)].turn &+= 1
        nodes[Int(place)].next = free
        free = place
        count -= 1
    }

    private func slot(of tick: UInt32) -> Int { Int(tick) & (slots.count - 1) }
}
