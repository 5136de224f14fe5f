import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import RelayWire
import SwiftProtobuf

/// Hostile byte streams against a real relayd: wrong HTTP, wrong WebSocket frames, wrong requests, in wrong pieces, cut off anywhere.
/// Meanwhile two honest devices write to each other, and every message arrives.
struct HostileStreams {
    static let name = "relayd"

    var seed: UInt64
    var bound: Bound
    var failures: String

    /// What relayd may take more than when it began: the connections of a round with full buffers, and what the heap keeps of them. A debug
    /// build takes some 40 MB altogether.
    static let growthBytes = 96 * 1024 * 1024
    /// Streams at the same time.
    static let atOnce = 16

    /// False when something was found.
    func run() async throws -> Bool {
        let relay = try RelayProcess(logLevel: "error")
        try await relay.start()
        let codes = [
            try await relay.chatctl.addUser("alice").invite.code, try await relay.chatctl.addUser("bob").invite.code,
            try await relay.chatctl.addUser("mallory").invite.code,
        ]
        let (port, bound, seed) = (relay.port, bound, seed)
        let outcome: Result<String, any Error>
        do {
            let streams = try await blocking {
                let devices = try codes.map { try WireDevice(port: port, code: $0) }
                var honest = try HonestPair(devices[0], devices[1])
                let before = try relay.residentBytes()
                let end = Date().addingTimeInterval({ if case .seconds(let seconds) = bound { seconds } else { .infinity } }())
                let most = if case .cases(let streams) = bound { streams } else { Int.max }
                var maker = try StreamMaker(seed: seed, mallory: devices[2])
                var done = 0
                var growth = 0
                while done < most, Date() < end {
                    let streams = (0..<min(Self.atOnce, most - done)).map { _ in maker.next() }
                    try store(streams)
                    try HostileStreams.play(streams, port)
                    done += streams.count
                    do { try honest.exchange() } catch { throw Finding("an honest device is not served any more: \(error)") }
                    if done % (Self.atOnce * 8) == 0 { try maker.signIn() }
                    let grown = try relay.residentBytes() - before
                    growth = max(growth, grown)
                    guard grown < Self.growthBytes else { throw Finding("relayd takes \(grown / 1024 / 1024) MB more than in the beginning") }
                }
                return "\(done) streams, relayd grew by \(growth / 1024) KiB at most"
            }
            outcome = .success(streams)
        } catch {
            outcome = .failure(error)
        }
        let status = await relay.terminate()
        switch outcome {
        case .success(let streams) where status == .exited(0):
            for number in 0..<Self.atOnce { try? FileManager.default.removeItem(atPath: path(number)) }
            print("\(Self.name): \(streams)")
            return true
        case .success: print("\(Self.name): FAILED, relayd ended with \(status.map { "\($0)" } ?? "nothing")")
        case .failure(let error): print("\(Self.name): FAILED, \(error); relayd ended with \(status.map { "\($0)" } ?? "nothing")")
        }
        print("  the last streams are \(path(0)) and the following; \(relay.standardError.suffix(2000))")
        return false
    }

    private func path(_ number: Int) -> String { "\(failures)/\(Self.name)-\(seed)-\(number)" }

    private func store(_ streams: [StreamMaker.Stream]) throws {
        try FileManager.default.createDirectory(atPath: failures, withIntermediateDirectories: true)
        for (number, stream) in streams.enumerated() { try Data(stream.parts.joined()).write(to: URL(filePath: path(number))) }
    }

    /// All streams at once, a part of each in turn; then what the relay says is read to some extent, and the connections go away.
    private static func play(_ streams: [StreamMaker.Stream], _ port: Int) throws {
        let connections = try streams.map { _ in try RawConnection(port: port, timeout: 2) }
        for round in 0..<(streams.map(\.parts.count).max() ?? 0) {
            for (stream, connection) in zip(streams, connections) where round < stream.parts.count { connection.send(stream.parts[round]) }
        }
        for (stream, connection) in zip(streams, connections) {
            switch stream.ending {
            case .abandoned: break
            case .halfClosed: connection.finishSending()
            // Whatever is said is fine, and silence too: the honest devices are the judges.
            case .answered:
                connection.finishSending()
                _ = try? connection.readToEnd()
            }
        }
    }
}

/// Two devices that write to each other and expect every message.
private struct HonestPair {
    let devices: [WireDevice]
    let connections: [RawConnection]
    let chat: UInt64
    var number: UInt64 = 0

    init(_ alice: WireDevice, _ bob: WireDevice) throws {
        devices = [alice, bob]
        chat = try alice.chat(with: bob.user)
        connections = try devices.map { try $0.connectBinary() }
        for connection in connections { try connection.drain { _ in } }
    }

    mutating func exchange() throws {
        number += 1
        for (writer, reader) in [(0, 1), (1, 0)] {
            let body = Array("message \(number) of \(writer)".utf8)
            try connections[writer].send(
                Relay_V1_ClientFrame.message(request: number, chat: chat, clientMessageID: number, body: body, devices: devices))
            var arrived = false
            try connections[reader].drain({ arrived = arrived || Array($0.body) == body }, until: { arrived })
            while true {
                let frame = try connections[writer].readServerFrame()
                if case .error(let error) = frame.kind { throw Finding("refused with \(error.code)") }
                if case .sent(let sent) = frame.kind, sent.clientMessageID == number { break }
            }
        }
    }
}

/// Draws hostile streams.
private struct StreamMaker {
    struct Stream: Sendable {
        enum Ending: CaseIterable, Sendable { case abandoned, halfClosed, answered }
        var parts: [[UInt8]]
        var ending: Ending
    }

    private var random: SeededGenerator
    private var http: Mutation
    private var frames: Mutation
    private var binary: Mutation
    private var text: Mutation
    private var mallory: WireDevice

    init(seed: UInt64, mallory: WireDevice) throws {
        random = SeededGenerator(seed: seed)
        self.mallory = mallory
        http = Mutation(seed: seed &+ 1, corpus: StreamMaker.requests)
        frames = Mutation(seed: seed &+ 2, corpus: WebSocketServerTarget().corpus().map(\.bytes))
        binary = Mutation(seed: seed &+ 3, corpus: try ProtobufRequestTarget().corpus().map(\.bytes))
        text = Mutation(seed: seed &+ 4, corpus: try JSONRequestTarget().corpus().map(\.bytes))
    }

    mutating func signIn() throws { try mallory.signIn() }

    mutating func next() -> Stream {
        let bytes: [UInt8]
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes = http.next()
        // Behind a proper handshake: the token opens it.
        case 1: bytes = upgrade("relay.v1.proto") + frames.next() + frames.next()
        case 2: bytes = upgrade("relay.v1.json") + frames.next()
        case 3: bytes = (0..<4).reduce(upgrade("relay.v1.proto")) { all, _ in all + RawConnection.frame(opcode: 2, binary.next()) }
        default: bytes = (0..<4).reduce(upgrade("relay.v1.json")) { all, _ in all + RawConnection.frame(opcode: 1, text.next()) }
        }
        var parts: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(parts.count > 6 ? rest.count : Int.random(in: 1...rest.count, using: &random))
            parts.append(Array(part))
            rest = rest.dropFirst(part.count)
        }
        return Stream(parts: parts, ending: Stream.Ending.allCases.randomElement(using: &random) ?? .abandoned)
    }

    private func upgrade(_ subprotocol: String) -> [UInt8] {
        Array(
            """
            GET /v1/connect HTTP/1.1\r
            Host: relay\r
            Connection: Upgrade\r
            Upgrade: websocket\r
            Sec-WebSocket-Version: 13\r
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
            Sec-WebSocket-Protocol: \(subprotocol)\r
            Authorization: Bearer \(mallory.token)\r
            \r

            """.utf8)
    }

    private static let requests: [[UInt8]] = [
        "GET /v1/info HTTP/1.1\r\nHost: relay\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"inviteCode\": \"abc\"}",
        "POST /v1/auth/challenge HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n3\r\n1}\n\r\n0\r\n\r\n",
        "GET /v1/connect HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
        "GET /v1/users?name=%41%zz HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n" + String(repeating: "X-Field: " + String(repeating: "v", count: 200) + "\r\n", count: 120) + "\r\n",
    ].map { Array($0.utf8) }
}
