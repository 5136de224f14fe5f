import COpenSSL
import Foundation
import NIOCore
import NIOEmbedded
import RelayModel
import RelayTestSupport
import Synchronization
import Testing

@testable import RelayTLS

/// Two ends without a socket between them.
private final class Pair {
    let server: TLSConnection
    let client: TLSConnection
    private let loop = EmbeddedEventLoop()
    private let allocator = ByteBufferAllocator()
    var fromServer = ByteBuffer()
    var fromClient = ByteBuffer()

    init(_ server: TLSServer, _ client: TLSClient, host: String = "localhost") throws {
        self.server = try #require(server.connection(on: loop))
        self.client = try #require(client.connection(to: host, port: 1, on: loop))
    }

    /// Carries everything to and fro until nobody has anything to say. `part`: in pieces of so many bytes.
    func carry(part: Int = .max) {
        while true {
            var moved = false
            if var bytes = client.takeOutput() {
                moved = true
                while let piece = bytes.readSlice(length: min(part, bytes.readableBytes)), piece.readableBytes > 0 {
                    if let plain = server.receive(piece, allocator: allocator) { fromClient.writeImmutableBuffer(plain) }
                    answer()
                }
            }
            if var bytes = server.takeOutput() {
                moved = true
                deliver(&bytes, part)
            }
            while !answers.isEmpty {
                moved = true
                var bytes = answers.removeFirst()
                deliver(&bytes, part)
            }
            if !moved { return }
        }
    }

    // Both ends are on one loop and have one scratch: what one says is taken before the other speaks.
    private var answers: [ByteBuffer] = []
    private func answer() { if let bytes = server.takeOutput() { answers.append(bytes) } }

    private var replies: [ByteBuffer] = []
    private func deliver(_ bytes: inout ByteBuffer, _ part: Int) {
        while let piece = bytes.readSlice(length: min(part, bytes.readableBytes)), piece.readableBytes > 0 {
            if let plain = client.receive(piece, allocator: allocator) { fromServer.writeImmutableBuffer(plain) }
            if let reply = client.takeOutput() { replies.append(reply) }
        }
        let waiting = replies
        replies = []
        for reply in waiting {
            if let plain = server.receive(reply, allocator: allocator) { fromClient.writeImmutableBuffer(plain) }
            answer()
        }
    }

    func shakeHands(part: Int = .max) {
        client.begin()
        carry(part: part)
    }
}

private final class ManualClock: MonotonicClock {
    private let now = Mutex<Int64>(0)
    func nanoseconds() -> Int64 { now.withLock { $0 } }
    func advance(_ span: Duration) { now.withLock { $0 += span.nanoseconds } }
}

private struct Bench {
    let directory: TemporaryDirectory
    let authority: TestAuthority
    let clock = ManualClock()

    init() throws {
        directory = try TemporaryDirectory()
        authority = try TestAuthority(in: directory)
    }

    func identity(_ names: String = "DNS:localhost,IP:127.0.0.1", days: ClosedRange<Int> = -1...90) throws -> TLSIdentity {
        let pair = try authority.issue(names, days: days)
        return try TLSIdentity(certificatePath: pair.certificate, keyPath: pair.key)
    }

    func server(_ identity: TLSIdentity? = nil) throws -> TLSServer { try TLSServer(identity ?? self.identity(), clock: clock) }
    func client(atMost12: Bool = false) throws -> TLSClient { try TLSClient(trust: .file(authority.file), atMost12: atMost12) }
}

@Suite(.timeLimit(.minutes(10)))
struct TLSConnectionTests {
    @Test(arguments: [(false, "TLSv1.3"), (true, "TLSv1.2")], [1, 7, 1000, Int.max])
    func handshakesAndCarriesBytes(version: (old: Bool, name: String), part: Int) throws {
        let bench = try Bench()
        let pair = try Pair(bench.server(), bench.client(atMost12: version.old))
        pair.shakeHands(part: part)
        #expect(pair.client.failure == nil && pair.server.failure == nil)
        #expect(pair.client.isEstablished && pair.server.isEstablished)
        #expect(pair.client.version == version.name)
        #expect(pair.client.applicationProtocol == "http/1.1" && pair.server.applicationProtocol == "http/1.1")
        // Several records.
        let large = ByteBuffer(bytes: (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        #expect(pair.client.send(ByteBuffer(string: "to ")) && pair.client.send(ByteBuffer(string: "the server")))
        pair.carry(part: part)
        #expect(String(buffer: pair.fromClient) == "to the server")
        #expect(pair.server.send(large))
        pair.carry(part: part)
        #expect(pair.fromServer == large)
        #expect(!pair.client.isEnded)
        pair.server.end()
        pair.carry(part: part)
        #expect(pair.client.isEnded)
        #expect(!pair.server.send(ByteBuffer(string: "more")))
        // The other direction goes on.
        #expect(pair.client.send(ByteBuffer(string: "!")))
        pair.carry()
        #expect(String(buffer: pair.fromClient) == "to the server!")
    }

    @Test func sessionsAreTakenUpAgain() throws {
        for old in [false, true] {
            let bench = try Bench()
            let (server, client) = (try bench.server(), try bench.client(atMost12: old))
            func connect() throws -> Bool {
                let pair = try Pair(server, client)
                pair.shakeHands()
                try #require(pair.client.isEstablished && pair.server.isEstablished)
                #expect(pair.client.isResumed == pair.server.isResumed, "TLS 1.2: \(old)")
                return pair.client.isResumed
            }
            #expect(try !connect(), "TLS 1.2: \(old)")
            #expect(try connect(), "TLS 1.2: \(old)")
            // With the key before.
            bench.clock.advance(Limits.tlsTicketKeyAge)
            #expect(try connect(), "TLS 1.2: \(old)")
            #expect(try connect(), "TLS 1.2: \(old)")
            // Two turns without anybody: the ticket's key is gone.
            bench.clock.advance(Limits.tlsTicketKeyAge * 2)
            #expect(try !connect(), "TLS 1.2: \(old)")
            #expect(try connect(), "TLS 1.2: \(old)")
        }
    }

    @Test func anewCertificateIsForNewConnections() throws {
        let bench = try Bench()
        let (server, client) = (try bench.server(), try bench.client())
        let before = try Pair(server, client)
        before.shakeHands()
        try server.replace(bench.identity())
        let after = try Pair(server, client)
        after.shakeHands()
        #expect(before.client.peerFingerprint != after.client.peerFingerprint)
        // Not under the old one's ticket.
        #expect(!after.client.isResumed)
        #expect(before.client.send(ByteBuffer(string: "still")))
        before.carry()
        #expect(String(buffer: before.fromClient) == "still")
    }

    @Test(arguments: [
        ("DNS:other.test", -1...90, "localhost", TLSFailure.certificate(.wrongName("localhost"))),
        ("DNS:localhost", -1...90, "127.0.0.1", .certificate(.wrongName("127.0.0.1"))),
        ("DNS:localhost", -20 ... -1, "localhost", .certificate(.expired)),
        ("DNS:localhost", 10...90, "localhost", .certificate(.notYetValid)),
    ])
    func wrongCertificatesAreRefused(names: String, days: ClosedRange<Int>, host: String, expected: TLSFailure) throws {
        let bench = try Bench()
        let pair = try Pair(bench.server(bench.identity(names, days: days)), bench.client(), host: host)
        pair.shakeHands()
        #expect(pair.client.failure == expected)
        #expect(!pair.server.isEstablished || pair.server.failure != nil)
    }

    @Test func strangersAreNotTrusted() throws {
        let bench = try Bench()
        let other = try TestAuthority(in: bench.directory, name: "other")
        for trust in [TLSTrust.file(other.file), .system] {
            let pair = try Pair(bench.server(), TLSClient(trust: trust))
            pair.shakeHands()
            #expect(pair.client.failure == .certificate(.untrusted))
            guard case .refused(let alert) = pair.server.failure else {
                Issue.record("the server got no alert: \(String(describing: pair.server.failure))")
                continue
            }
            #expect(alert.contains("unknown ca"))
        }
    }

    @Test func addressesAreCheckedToo() throws {
        let bench = try Bench()
        let pair = try Pair(bench.server(), bench.client(), host: "127.0.0.1")
        pair.shakeHands()
        #expect(pair.client.isEstablished)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: relay\r\n\r\n", TLSFailure.plainHTTP), ("POST /v1/enrol HTTP/1.1\r\n\r\n", .plainHTTP),
        ("SSH-2.0-OpenSSH_9.2\r\n", .notTLS), (String(repeating: "\u{0}", count: 600), .notTLS),
    ])
    func whatIsNoTLSIsRefused(text: String, expected: TLSFailure) throws {
        let bench = try Bench()
        let pair = try Pair(bench.server(), bench.client())
        #expect(pair.server.receive(ByteBuffer(string: text), allocator: ByteBufferAllocator()) == nil)
        #expect(pair.server.failure == expected)
        // And nothing after it is looked at.
        #expect(pair.server.receive(ByteBuffer(string: text), allocator: ByteBufferAllocator()) == nil)
    }

    @Test func aServerWithoutTLSIsNamed() throws {
        let bench = try Bench()
        let pair = try Pair(bench.server(), bench.client())
        pair.client.begin()
        _ = pair.client.takeOutput()
        _ = pair.client.receive(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"), allocator: ByteBufferAllocator())
        #expect(pair.client.failure == .notTLS)
        #expect(TLSFailure.notTLS.hint.contains("http://"))
    }

    /// Random bytes at every stage: an error or a wait, and never plaintext.
    @Test func garbageNeverPasses() throws {
        let bench = try Bench()
        let server = try bench.server()
        var random = SeededGenerator(seed: 6)
        for round in 0..<300 {
            let pair = try Pair(server, bench.client())
            if round % 3 == 1 { pair.client.begin() }
            if round % 3 == 2 { pair.shakeHands() }
            var bytes = pair.client.takeOutput() ?? ByteBuffer()
            if round % 2 == 0 {
                // A header that promises a record.
                bytes = ByteBuffer(bytes: [22, 3, UInt8.random(in: 0...4, using: &random)])
                bytes.writeInteger(UInt16.random(in: .min ... .max, using: &random))
            }
            for _ in 0..<Int.random(in: 1...400, using: &random) { bytes.writeInteger(UInt8.random(in: .min ... .max, using: &random)) }
            if bytes.readableBytes > 8 {
                bytes.setInteger(
                    UInt8.random(in: .min ... .max, using: &random), at: Int.random(in: 0..<bytes.readableBytes, using: &random))
            }
            #expect(pair.server.receive(bytes, allocator: ByteBufferAllocator()) == nil)
            _ = pair.server.takeOutput()
        }
    }

    @Test func ticketKeysTurn() {
        let clock = ManualClock()
        let keys = TicketKeys(clock: clock, entropy: OpenSSLEntropy())
        let first = keys.sealing()
        #expect(keys.opening(first.name)?.renew == false)
        clock.advance(Limits.tlsTicketKeyAge)
        #expect(keys.sealing() != first)
        #expect(keys.opening(first.name)?.renew == true)
        clock.advance(Limits.tlsTicketKeyAge)
        _ = keys.sealing()
        #expect(keys.opening(first.name) == nil)
        #expect(keys.opening([1, 2, 3]) == nil)
        // Nobody came for two turns: nothing of before opens.
        let last = keys.sealing()
        clock.advance(Limits.tlsTicketKeyAge * 2)
        #expect(keys.opening(last.name) == nil)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct TLSIdentityTests {
    @Test func aGoodPairIsRead() throws {
        let bench = try Bench()
        let identity = try bench.identity("DNS:relay.test,IP:10.1.2.3", days: -1...30)
        #expect(identity.chain.count == 1)
        #expect(identity.isFor("relay.test") && identity.isFor("10.1.2.3") && !identity.isFor("other.test") && !identity.isFor("10.1.2.4"))
        let now = identity.notAfter
        #expect(identity.daysLeft(at: now + .seconds(-86_400)) == 1)
        #expect(identity.daysLeft(at: now) == 0)
        #expect(identity.daysLeft(at: now + .seconds(1)) == -1)
        #expect(identity.daysLeft(at: now + .seconds(86_401)) == -2)
        #expect(try bench.identity().fingerprint != identity.fingerprint)
    }

    @Test func badPairsAreRefusedWithWhatToDo() throws {
        let bench = try Bench()
        let good = try bench.authority.issue(as: "good")
        let other = try bench.authority.issue(as: "other")
        let nothing = bench.directory.file("nothing")
        let text = bench.directory.file("text")
        try "no PEM".write(toFile: text, atomically: false, encoding: .utf8)
        chmod(text, 0o600)
        func load(_ certificate: String, _ key: String) -> TLSIdentityError? {
            do throws(TLSIdentityError) {
                _ = try TLSIdentity(certificatePath: certificate, keyPath: key)
                return nil
            } catch { return error }
        }
        #expect(load(good.certificate, good.key) == nil)
        #expect(load(nothing, good.key) == .unreadable(path: nothing, reason: "No such file or directory"))
        #expect(load(good.certificate, nothing) == .unreadable(path: nothing, reason: "No such file or directory"))
        #expect(load(bench.directory.path, good.key) == .unreadable(path: bench.directory.path, reason: "Is a directory"))
        #expect(load(text, good.key) == .noCertificate(path: text))
        #expect(load(good.certificate, text) == .noKey(path: text))
        #expect(load(good.certificate, other.key) == .mismatch(certificate: good.certificate, key: other.key))
        chmod(good.key, 0o644)
        #expect(load(good.certificate, good.key) == .keyIsOpen(path: good.key))
        #expect(TLSIdentityError.keyIsOpen(path: "/k").description.contains("chmod"))
        chmod(good.key, 0o640)
        #expect(load(good.certificate, good.key) == nil)
    }

    @Test func credentialsAreFoundByName() throws {
        let bench = try Bench()
        let pair = try bench.authority.issue(as: "good")
        chmod(pair.key, 0o444)
        let source = TLSIdentitySource(certificate: "good.pem", key: "good.key")
        #expect(throws: TLSIdentityError.noCredentials(name: "good.pem")) { try source.load(credentials: nil) }
        _ = try source.load(credentials: bench.directory.path)
        #expect(TLSIdentitySource.isUsable("relay.pem") && TLSIdentitySource.isUsable("/etc/relayd/relay.pem"))
        #expect(!TLSIdentitySource.isUsable("../relay.pem") && !TLSIdentitySource.isUsable("") && !TLSIdentitySource.isUsable(".."))
    }
}

/// The handler in a pipeline, still without sockets.
@Suite(.timeLimit(.minutes(10)))
struct TLSHandlerTests {
    private func connected(_ bench: Bench, _ server: TLSServer) throws -> (EmbeddedChannel, TLSConnection) {
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(try #require(server.handler(on: channel.embeddedEventLoop)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        // Of another loop: its own scratch.
        let client = try #require(try bench.client().connection(to: "localhost", port: 1, on: EmbeddedEventLoop()))
        client.begin()
        while !client.isEstablished || client.failure != nil {
            while let bytes = client.takeOutput() { try channel.writeInbound(bytes) }
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) { _ = client.receive(bytes, allocator: ByteBufferAllocator()) }
        }
        while let bytes = client.takeOutput() { try channel.writeInbound(bytes) }
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { _ = client.receive(bytes, allocator: ByteBufferAllocator()) }
        return (channel, client)
    }

    @Test func aBurstIsOneWriteAndOneRecord() throws {
        let bench = try Bench()
        let (channel, client) = try connected(bench, bench.server())
        let promise = channel.eventLoop.makePromise(of: Void.self)
        channel.write(ByteBuffer(string: "head "), promise: nil)
        channel.write(ByteBuffer(string: "body "), promise: promise)
        channel.write(ByteBuffer(string: "end"), promise: nil)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        channel.flush()
        let bytes = try #require(try channel.readOutbound(as: ByteBuffer.self))
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        // One record: its length is in the header.
        #expect(bytes.getInteger(at: bytes.readerIndex + 3, as: UInt16.self).map(Int.init) == bytes.readableBytes - 5)
        #expect(client.receive(bytes, allocator: ByteBufferAllocator()).map { String(buffer: $0) } == "head body end")
        try promise.futureResult.wait()
        _ = try channel.finish()
    }

    @Test func whatWasWrittenBeforeTheHandshakeWaitsForIt() throws {
        let bench = try Bench()
        let channel = EmbeddedChannel()
        let server = try bench.server()
        try channel.pipeline.syncOperations.addHandler(try #require(server.handler(on: channel.embeddedEventLoop)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        channel.writeAndFlush(ByteBuffer(string: "early"), promise: nil)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        let client = try #require(try bench.client().connection(to: "localhost", port: 1, on: EmbeddedEventLoop()))
        client.begin()
        var got = ByteBuffer()
        for _ in 0..<4 {
            while let bytes = client.takeOutput() { try channel.writeInbound(bytes) }
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
                if let plain = client.receive(bytes, allocator: ByteBufferAllocator()) { got.writeImmutableBuffer(plain) }
            }
        }
        #expect(String(buffer: got) == "early")
        _ = try channel.finish()
    }

    @Test func aSlowHandshakeEnds() throws {
        let bench = try Bench()
        let channel = EmbeddedChannel()
        let handler = try #require(try bench.server().handler(on: channel.embeddedEventLoop))
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        channel.embeddedEventLoop.advanceTime(by: TimeAmount(Limits.tlsHandshakeTimeout) - .nanoseconds(1))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .nanoseconds(1))
        #expect(!channel.isActive)
        #expect(handler.failure == .handshakeTimeout)
        _ = try? channel.finish()
    }

    @Test func plainHTTPGetsAnAnswerInTheClear() throws {
        let bench = try Bench()
        let channel = EmbeddedChannel()
        let server = try TLSServer(bench.identity(), plainAnswer: ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"))
        try channel.pipeline.syncOperations.addHandler(try #require(server.handler(on: channel.embeddedEventLoop)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.writeInbound(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
        #expect(try channel.readOutbound(as: ByteBuffer.self).map { String(buffer: $0) }?.hasPrefix("HTTP/1.1 400") == true)
        _ = try? channel.finish()
    }

    @Test func theEndIsSaidAndHeard() throws {
        let bench = try Bench()
        let (channel, client) = try connected(bench, bench.server())
        client.end()
        try channel.writeInbound(#require(client.takeOutput()))
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
        let last = try #require(try channel.readOutbound(as: ByteBuffer.self))
        _ = client.receive(last, allocator: ByteBufferAllocator())
        #expect(client.isEnded)
        _ = try? channel.finish()
    }

    /// Each change of keys can ask for one of the other side; whoever asks without end and reads nothing fills its memory.
    @Test(arguments: [false, true]) func whoAsksWithoutReadingIsCutOff(withData: Bool) throws {
        let bench = try Bench()
        let (channel, client) = try connected(bench, bench.server())
        let handler = try channel.pipeline.syncOperations.handler(type: TLSHandler.self)
        var answers = 0
        func ask() throws {
            SSL_key_update(client.ssl, Int32(SSL_KEY_UPDATE_REQUESTED))
            if withData { #expect(client.send(ByteBuffer(string: "x"))) } else { SSL_do_handshake(client.ssl) }
            try channel.writeInbound(#require(client.takeOutput()))
            while try channel.readOutbound(as: ByteBuffer.self) != nil { answers += 1 }
        }
        // Who reads may do so as often as it likes.
        for _ in 0..<200 { try ask() }
        #expect(channel.isActive)
        // The last one may wait for the next record.
        #expect((199...200).contains(answers))
        for _ in 0..<3 {
            channel.isWritable = false
            for _ in 1..<Limits.tlsAnswersUnread { try ask() }
            channel.isWritable = true
            channel.pipeline.fireChannelWritabilityChanged()
        }
        #expect(channel.isActive)
        channel.isWritable = false
        for _ in 0..<Limits.tlsAnswersUnread where handler.failure == nil { try ask() }
        channel.embeddedEventLoop.run()
        #expect(handler.failure == .readsNoAnswers)
        #expect(answers <= 200 + 4 * Int(Limits.tlsAnswersUnread))
        _ = try? channel.finish()
    }
}
