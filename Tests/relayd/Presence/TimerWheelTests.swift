import RelayModel
import Testing

@testable import RelayPresence

@Suite struct TimerWheelTests {
    /// What a wheel does, without a wheel.
    private struct Model {
        var now: UInt32
        var due: [Int: UInt32] = [:]

        mutating func advance(to tick: UInt32) -> [Int: UInt32] {
            let fired = due.filter { $0.value <= tick }
            for number in fired.keys { due[number] = nil }
            now = tick
            return fired
        }
    }

    @Test(arguments: [1, 2, 8, 64])
    func doesWhatALongListWould(slots: Int) throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SeededGenerator(seed: seed)
        let start = UInt32.random(in: 1...100, using: &generator)
        var wheel = TimerWheel<Int>(slots: slots, now: start)
        var model = Model(now: start)
        var timers: [(number: Int, timer: TimerWheel<Int>.Timer)] = []
        for number in 0..<5000 {
            switch UInt8.random(in: 0..<10, using: &generator) {
            case 0..<5:
                // Also in the past, at the next tick, and some rounds ahead.
                let tick = model.now - min(model.now, 3) + UInt32.random(in: 0..<200, using: &generator)
                timers.append((number, wheel.schedule(number, at: tick)))
                model.due[number] = max(tick, model.now + 1)
            case 5..<7:
                // Those that have fired as well.
                guard let place = timers.indices.randomElement(using: &generator) else { continue }
                let (number, timer) = timers[place]
                let was = wheel.cancel(timer)
                #expect(was == (model.due.removeValue(forKey: number) != nil), "seed \(seed)")
            default:
                let tick = model.now + UInt32.random(in: 0..<(number % 50 == 0 ? 500 : 4), using: &generator)
                let wanted = model.due
                let fired = wheel.advance(to: tick)
                let expected = model.advance(to: tick)
                try #require(Set(fired) == Set(expected.keys) && fired.count == expected.count, "seed \(seed)")
                let ticks = fired.compactMap { wanted[$0] }
                #expect(ticks == ticks.sorted(), "seed \(seed)")
            }
            try #require(wheel.count == model.due.count && wheel.now == model.now, "seed \(seed)")
        }
        let rest = wheel.advance(to: model.now + 1000)
        #expect(Set(rest) == Set(model.due.keys), "seed \(seed)")
        #expect(wheel.count == 0)
    }

    @Test func aTimerThatFiredMeansNothingWhenItsPlaceIsTaken() {
        var wheel = TimerWheel<String>(slots: 4, now: 1)
        let old = wheel.schedule("old", at: 2)
        let first = wheel.advance(to: 2)
        _ = wheel.schedule("new", at: 3)
        let was = wheel.cancel(old)
        let second = wheel.advance(to: 3)
        #expect(first == ["old"] && !was && second == ["new"])
    }
}
