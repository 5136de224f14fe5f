import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// What a device costs that is connected and says nothing. Most devices do nothing else, so this is what decides how many fit on a host.
@Suite("Memory of idle connections") struct IdleMemoryTests {
    static let warmUp = 250
    static let measured = 1250
    /// Bytes of resident memory for one more idle WebSocket, in a debug build: it takes 3,700, within 100 from run to run. A timer for each
    /// makes 4,400 of it, a receive buffer of 2 KB that stays 6,000.
    static let bound = 4200

    @Test(.timeLimit(.minutes(10))) func anIdleConnectionStaysSmall() async throws {
        try Self.raiseDescriptorLimit(to: UInt(Self.warmUp + Self.measured + 1000))
        let relay = try RelayProcess(logLevel: "warning")
        try await relay.start()
        let (port, socket) = (relay.port, relay.controlSocket)
        let process = try #require(relay.processID)

        // A device has one connection, so each needs its own; a user each is the cheapest way to get them. One after the other, so that
        // the relay does not come out of this with a heap in which the connections fit for free.
        let devices = try await blocking {
            let operators = try RawConnection(socket: socket)
            let clients = try RawConnection(port: port)
            return try (0..<Self.warmUp + Self.measured).map { number in
                let added = try operators.json("POST", "/v1/\(UserAdd.name.path)", "{\"user\": \"user\(number)\"}")
                guard added.status == 200 else { throw SupportFailure("adding a user was answered with \(added.status): \(added.text)") }
                let code = try JSONDecoder().decode(UserAdd.Reply.self, from: Data(added.body)).invite.code
                return try WireDevice(port: port, code: code, over: clients)
            }
        }
        let (before, after, still) = try await blocking {
            // The first ones use up what lies free in the heap, and stay.
            var open = try devices.prefix(Self.warmUp).map { try $0.connect() }
            let before = try ProcessMemory.residentBytes(process)
            open += try devices.dropFirst(Self.warmUp).map { try $0.connect() }
            let after = try ProcessMemory.residentBytes(process)
            // All of them were there the whole time.
            for connection in open { try connection.ping() }
            return (before, after, open.count)
        }
        #expect(still == Self.warmUp + Self.measured)
        let each = (after - before) / Self.measured
        print("an idle connection takes \(each) bytes (\(before / 1024) KiB before, \(after / 1024) KiB after \(Self.measured) more)")
        #expect(each < Self.bound)
        #expect(await relay.terminate() == .exited(0))
    }

    /// The soft limit of a shell is often 1,024.
    static func raiseDescriptorLimit(to wanted: UInt) throws {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw SupportFailure.system("asking for the limit of open files")
        }
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(max(wanted, limit.rlim_cur), limit.rlim_max)
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur >= wanted else {
            throw SupportFailure("this test needs \(wanted) open files; raise the limit (ulimit -Hn)")
        }
    }
}
