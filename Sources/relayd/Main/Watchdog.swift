import Logging
import NIOCore
import RelayStorage
import ServiceLifecycle
import Synchronization

/// A part of relayd that must move.
struct WatchedPart: Sendable {
    var name: String
    /// Asks for a sign of life: calls back, from any thread, once the part did something after it was asked.
    var ask: @Sendable (_ moved: @escaping @Sendable () -> Void) -> Void
}

/// Which of the parts have answered since they were asked the last time. A value: no clocks, no threads.
struct WatchdogRound {
    private(set) var number = 0
    private var waiting: Set<Int> = []
    private var told = false

    /// All parts are asked anew; what comes of an earlier round does not count any more.
    mutating func begin(parts: Int) {
        number += 1
        waiting = Set(0..<parts)
        told = false
    }

    mutating func moved(part: Int, in round: Int) { if round == number { waiting.remove(part) } }

    enum Finding: Equatable {
        /// Every part moved: tell systemd, and begin the next round.
        case alive
        /// These have not moved for a whole pause; said once a round.
        case stuck([Int])
        case waiting
    }

    /// A pause has gone by.
    mutating func look() -> Finding {
        if waiting.isEmpty { return .alive }
        if told { return .waiting }
        told = true
        return .stuck(waiting.sorted())
    }
}

/// Tells systemd that relayd is alive, each time that all its parts have moved, and not otherwise: after `WatchdogSec=` without a word systemd ends
/// relayd and starts it again.
struct Watchdog: Service {
    /// What `WatchdogSec=` allows.
    var patience: Duration
    var parts: [WatchedPart]
    var logger: Logger
    var tell: @Sendable () -> Void = { Systemd.alive() }

    /// Looks so often within the patience: a part may take some three quarters of it for one thing.
    private static let looks = 4

    func run() async {
        await cancelWhenGracefulShutdown {
            let round = Mutex(WatchdogRound())
            func ask() {
                let number = round.withLock { round in
                    round.begin(parts: parts.count)
                    return round.number
                }
                for (index, part) in parts.enumerated() { part.ask { round.withLock { $0.moved(part: index, in: number) } } }
            }
            ask()
            while (try? await Task.sleep(for: patience / Self.looks)) != nil {
                switch round.withLock({ $0.look() }) {
                case .alive:
                    tell()
                    ask()
                case .stuck(let stuck):
                    for index in stuck { logger.critical("a part of relayd does not move", metadata: ["part": "\(parts[index].name)"]) }
                case .waiting: break
                }
            }
        }
    }

    /// What must move so that messages do: every event loop, the writer, the readers.
    static func parts(loops: [any EventLoop], store: Store) -> [WatchedPart] {
        loops.enumerated().map { index, loop in
            WatchedPart(name: "event loop \(index + 1)") { moved in loop.execute(moved) }
        } + [
            WatchedPart(name: "writer") { store.writer.whenMoved($0) },
            WatchedPart(name: "readers") { store.readers.whenMoved($0) },
        ]
    }
}
