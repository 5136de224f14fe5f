import Foundation
import RelayControl
import RelayTestSupport
import Testing

/// Sockets that somebody else opened, as systemd does for relayd.socket and relayd-control.socket.
@Suite("Socket activation") struct SocketActivationTests {
    @Test(.timeLimit(.minutes(10))) func devicesAndOperatorsComeThroughThem() async throws {
        let directory = try TemporaryDirectory()
        let clients = try ListeningSocket()
        let path = directory.file("given.sock")
        let control = try ListeningSocket(path: path)
        let relay = try RelayProcess(directory: directory, listening: [("clients", clients.descriptor), ("control", control.descriptor)])
        let chatctl = Chatctl(socket: path)
        try await relay.start()
        #expect(try await chatctl.status().listening == ["http://127.0.0.1:\(clients.port)"])
        // The sockets of the configuration are not made.
        #expect(!FileManager.default.fileExists(atPath: relay.controlSocket))
        #expect(throws: SupportFailure.self) { try RawConnection(port: relay.port) }
        let code = try await chatctl.addUser("alice").invite.code
        let port = clients.port
        let alice = try await blocking {
            let alice = try WireDevice(port: port, code: code)
            _ = try alice.connect()
            return alice
        }
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError)")

        // Nobody is refused while it is away: who connects now is served by the next one, by name and by the port.
        #expect(FileManager.default.fileExists(atPath: path))
        let early = try RawConnection(port: port)
        early.send("GET /v1/info HTTP/1.1\r\nHost: relay\r\n\r\n")
        try await relay.start()
        try await blocking {
            #expect(try early.readReply().status == 200)
            // Tokens do not outlive a restart.
            var alice = alice
            try alice.signIn()
            _ = try alice.connect()
        }
        #expect(try await chatctl.status().users == 1)
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError)")
    }

    @Test(.timeLimit(.minutes(10))) func eachOfThemIsOptional() async throws {
        let clients = try ListeningSocket()
        let relay = try RelayProcess(listening: [("clients", clients.descriptor)])
        try await relay.start()
        #expect(try await relay.chatctl.status().listening == ["http://127.0.0.1:\(clients.port)"])
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError)")

        let directory = try TemporaryDirectory()
        let control = try ListeningSocket(path: directory.file("given.sock"))
        let other = try RelayProcess(directory: directory, listening: [("control", control.descriptor)])
        try await other.start()
        #expect(try await Chatctl(socket: directory.file("given.sock")).status().listening == ["http://127.0.0.1:\(other.port)"])
        #expect(await other.terminate() == .exited(0), "\(other.standardError)")
    }

    @Test(.timeLimit(.minutes(10))) func whatCannotBeUsedIsRefusedWithWhatToDo() async throws {
        func complaint(_ listening: [(name: String, descriptor: Int32)]) async throws -> String {
            let relay = try RelayProcess(listening: listening)
            do { try await relay.start() } catch { return "\(error)" }
            try await relay.kill()
            return "it started"
        }
        let socket = try ListeningSocket()
        let everywhere = try ListeningSocket(address: "0.0.0.0")
        #expect(try await complaint([("relayd.socket", socket.descriptor)]).contains("FileDescriptorName= in its unit must be clients or control"))
        #expect(try await complaint([("control", socket.descriptor)]).contains("no Unix socket"))
        #expect(try await complaint([("clients", socket.descriptor), ("clients", everywhere.descriptor)]).contains("there can be one"))
        #expect(try await complaint([("clients", everywhere.descriptor)]).contains("allow_plaintext"))
    }
}
