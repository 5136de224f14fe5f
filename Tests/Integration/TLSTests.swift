import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import RelayClient
import RelayControl
import RelayModel
import RelayTLS
import RelayTestSupport
import Testing

/// TLS through the real programs: certificates made here, sockets of loopback.
@Suite("TLS") struct TLSTests {
    private struct Bench {
        let directory: TemporaryDirectory
        let authority: TestAuthority
        let relay: RelayProcess

        init(
            _ names: String = "DNS:localhost,IP:127.0.0.1", days: ClosedRange<Int> = -1...90, sections: String = "",
            environment: [String: String] = [:]
        )
            throws
        {
            directory = try TemporaryDirectory()
            authority = try TestAuthority(in: directory)
            relay = try RelayProcess(
                environment: environment, sections: sections, tls: try authority.issue(names, days: days))
        }

        func device(_ name: String) async throws -> TestDevice {
            let user = String(name.split(separator: ".")[0])
            let link: String
            if try await relay.chatctl.run("user", "show", user).succeeded {
                link = try await relay.chatctl.invite(user).link
            } else {
                link = try await relay.chatctl.addUser(user).invite.link
            }
            return try await TestDevice(
                name: name, link: link, directory: StateDirectory(relay.directory.file(name)), trust: .file(authority.file))
        }
    }

    @Test(.timeLimit(.minutes(10))) func aMessageGoesOverTLS() async throws {
        let bench = try Bench()
        try await bench.relay.start()
        #expect(bench.relay.url.hasPrefix("https://"))
        #expect(try await bench.relay.chatctl.status().listening == [bench.relay.url])
        let probe = try await bench.relay.chatctl.run("probe", "--ca-file", bench.authority.file)
        #expect(probe.succeeded, "\(probe)")
        let alice = try await bench.device("alice.phone")
        let bob = try await bench.device("bob.laptop")
        try await alice.goOnline()
        try await bob.goOnline()
        // More than a record, and more than a socket takes at once.
        let texts = (0..<20).map { "message \($0) " + String(repeating: "x", count: $0 * 2500) }
        _ = try await alice.session.send(texts, to: "bob")
        try await bob.wait(for: "the messages") { $0.received.count == texts.count }
        #expect(bob.log.received.map(\.text) == texts)
        try await alice.close()
        try await bob.close()
        // The device knows by itself whom to trust.
        try bob.reopen()
        try await bob.goOnline()
        try await bob.close()
        let metrics = try await bench.relay.chatctl.run("metrics", "show", "--prometheus")
        #expect(metrics.standardOutput.contains("relayd_certificate_days 89") || metrics.standardOutput.contains("relayd_certificate_days 90"))
        await bench.relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func whatIsWrongIsSaid() async throws {
        let bench = try Bench("DNS:other.test")
        try await bench.relay.start()
        let chatctl = bench.relay.chatctl
        let link = try await chatctl.addUser("alice").invite.link
        func enrol(_ link: String, _ more: String...) async throws -> Chatctl.Result {
            let state = bench.directory.file("state-\(UInt32.random(in: .min ... .max))")
            return try await chatctl.run(["client", "enrol", link, "--device", "x", "--state", state] + more)
        }
        // Nobody whom the system trusts signed it.
        let stranger = try await enrol(link)
        #expect(stranger.status == .exited(69), "\(stranger)")
        #expect(stranger.standardError.contains("not signed by anybody whom this machine trusts") && stranger.standardError.contains("--ca-file"))
        let name = try await enrol(link, "--ca-file", bench.authority.file)
        #expect(name.standardError.contains("the relay's certificate is not for 127.0.0.1"), "\(name)")
        let plain = try await enrol(link.replacing("https://", with: "http://"))
        #expect(plain.standardError.contains("this port speaks TLS"), "\(plain)")
        let nothing = try await enrol(link, "--ca-file", bench.directory.file("nothing"))
        #expect(nothing.status == .exited(64) && nothing.standardError.contains("cannot be read"), "\(nothing)")
        #expect(bench.relay.standardError.contains("the certificate is not for the host of listen.public_url"))
        await bench.relay.terminate()

        let clear = try RelayProcess()
        try await clear.start()
        let other = try await clear.chatctl.addUser("alice").invite.link
        let wrong = try await clear.chatctl.run(
            "client", "enrol", other.replacing("http://", with: "https://"), "--device", "x", "--state", bench.directory.file("state"))
        #expect(wrong.standardError.contains("does not speak TLS") && wrong.standardError.contains("http://"), "\(wrong)")
        #expect(try await !clear.chatctl.run("metrics", "show", "--prometheus").standardOutput.contains("\nrelayd_certificate_days "))
        await clear.terminate()

        let old = try Bench(days: -30 ... -2)
        try await old.relay.start()
        let expired = try await old.relay.chatctl.run(
            "client", "enrol", try await old.relay.chatctl.addUser("alice").invite.link, "--device", "x", "--state", bench.directory.file("state"),
            "--ca-file", old.authority.file)
        #expect(expired.standardError.contains("has expired"), "\(expired)")
        #expect(old.relay.standardError.contains("the certificate has expired: no client accepts it"))
        await old.relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func aNewCertificateIsForNewConnections() async throws {
        let bench = try Bench()
        try await bench.relay.start()
        let process = try #require(bench.relay.processID)
        let alice = try await bench.device("alice.phone")
        let bob = try await bench.device("bob.laptop")
        try await alice.goOnline()
        try await bob.goOnline()
        let before = try await fingerprint(bench)
        // A SIGHUP alone changes nothing; then a new one; then one that is not the key's, and one that is over.
        kill(process, SIGHUP)
        #expect(await bench.relay.line { $0.contains("nothing changed") } != nil)
        #expect(try await fingerprint(bench) == before)
        let good = try bench.authority.issue()
        kill(process, SIGHUP)
        #expect(await bench.relay.line { $0.contains("new connections get the new certificate") } != nil)
        let after = try await fingerprint(bench)
        #expect(after != before)
        let other = try bench.authority.issue(as: "other")
        #expect(rename(other.key, good.key) == 0)
        kill(process, SIGHUP)
        #expect(await bench.relay.line { $0.contains("is not the key of the certificate") } != nil)
        #expect(await bench.relay.line { $0.contains("the one before stays in force") } != nil)
        #expect(try await fingerprint(bench) == after)
        _ = try bench.authority.issue(days: -30 ... -2)
        kill(process, SIGHUP)
        #expect(await bench.relay.line { $0.contains("has expired: renew it") } != nil)
        #expect(try await fingerprint(bench) == after)
        #expect(await bench.relay.line { $0.contains("kind=certificate_refused") } != nil)
        // Nobody noticed.
        _ = try await alice.session.send(["still here"], to: "bob")
        try await bob.wait(for: "the message") { $0.received.count == 1 }
        #expect(alice.log.connections == 1 && bob.log.connections == 1)
        // One that ends soon is an alert as well.
        _ = try bench.authority.issue(days: -1...10)
        kill(process, SIGHUP)
        #expect(await bench.relay.line { $0.contains("alert is over") && $0.contains("kind=certificate_refused") } != nil)
        #expect(await bench.relay.line { $0.contains("kind=certificate_expiring") } != nil)
        try await alice.close()
        try await bob.close()
        await bench.relay.terminate()
    }

    /// The certificate that a new connection gets.
    private func fingerprint(_ bench: Bench) async throws -> [UInt8] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let client = try TLSClient(trust: .file(bench.authority.file))
        let shown = loop.makePromise(of: [UInt8].self)
        let channel = try await ClientBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let handler = try #require(client.handler(to: "127.0.0.1", port: 1, on: channel.eventLoop))
                try channel.pipeline.syncOperations.addHandlers([handler, Seen(handler, shown)])
            }
        }.connect(host: "127.0.0.1", port: bench.relay.port).get()
        try await channel.writeAndFlush(ByteBuffer(string: "GET /v1/info HTTP/1.1\r\nHost: relay\r\n\r\n"))
        let found = try await shown.futureResult.get()
        try? await channel.close()
        return found
    }

    private final class Seen: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let handler: TLSHandler
        private let promise: EventLoopPromise<[UInt8]>
        init(_ handler: TLSHandler, _ promise: EventLoopPromise<[UInt8]>) {
            self.handler = handler
            self.promise = promise
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { promise.succeed(handler.connection.peerFingerprint ?? []) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }

    /// Everything that a stranger may do to the port, while two devices talk.
    @Test(.timeLimit(.minutes(10))) func abuseDisturbsNobody() async throws {
        let bench = try Bench()
        try await bench.relay.start()
        let port = bench.relay.port
        let alice = try await bench.device("alice.phone")
        let bob = try await bench.device("bob.laptop")
        try await alice.goOnline()
        try await bob.goOnline()
        let silent = try await blocking { try (0..<200).map { _ in try RawConnection(port: port) } }
        let half = try await blocking {
            try (0..<50).map { number in
                let connection = try RawConnection(port: port)
                // The beginning of a hello that never comes.
                connection.send([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + [UInt8](repeating: UInt8(number), count: number))
                return connection
            }
        }
        try await blocking {
            var random = SeededGenerator(seed: 41)
            for round in 0..<100 {
                let connection = try RawConnection(port: port)
                switch round % 5 {
                case 0: connection.send((0..<2000).map { _ in UInt8.random(in: .min ... .max, using: &random) })
                // Records as large as their header can say, of every type.
                case 1: connection.send([UInt8(20 + round % 4), 3, 3, 255, 255] + [UInt8](repeating: 0, count: 65_535))
                case 2: connection.send("GET / HTTP/1.1\r\nHost: relay\r\n\r\n")
                case 3: connection.finishSending()
                default: connection.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 3])
                }
                if round % 5 == 2 {
                    let reply = try connection.readReply()
                    #expect(reply.status == 400 && reply.errorCode == "malformed")
                }
            }
        }
        _ = try await alice.session.send((0..<50).map { "message \($0)" }, to: "bob")
        try await bob.wait(for: "the messages") { $0.received.count == 50 }
        #expect(alice.log.connections == 1 && bob.log.connections == 1)
        // The silent ones end by themselves.
        try await blocking {
            for connection in silent + half {
                // Reset, closed, or an alert: but it ends.
                _ = try connection.readToEnd()
            }
        }
        try await alice.close()
        try await bob.close()
        #expect(await bench.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func aWrongPairIsRefusedAtTheStart() async throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority(in: directory)
        let pair = try authority.issue()
        let other = try authority.issue(as: "other")
        func check(_ tls: String, listen: String = "127.0.0.1:18998") async throws -> (
            status: RelayTestSupport.ExitStatus, standardOutput: String, standardError: String
        ) {
            let path = directory.file("relayd.toml")
            let text = "[listen]\naddress = \"\(listen)\"\n[store]\npath = \"\(directory.file("relay.db"))\"\n[tls]\n\(tls)\n"
            try text.write(toFile: path, atomically: false, encoding: .utf8)
            return try await Subprocess.run(Programs.relayd, ["--config", path, "--check-config"])
        }
        let both = "certificate = \"\(pair.certificate)\"\nkey = \"\(pair.key)\""
        let good = try await check(both, listen: "0.0.0.0:18998")
        #expect(good.status == .exited(0), "\(good.standardError)")
        for (tls, text) in [
            ("certificate = \"\(pair.certificate)\"", "tls.key is not"), ("key = \"\(pair.key)\"", "tls.certificate is not"),
            ("certificate = \"\(pair.certificate)\"\nkey = \"\(other.key)\"", "is not the key of the certificate"),
            ("certificate = \"\(pair.key)\"\nkey = \"\(pair.key)\"", "has no certificate"),
            ("certificate = \"a/b\"\nkey = \"c\"", "absolute path"),
        ] {
            let result = try await check(tls)
            #expect(result.status == .exited(78) && result.standardError.contains(text), "\(result.standardError)")
        }
        chmod(pair.key, 0o644)
        let open = try await check(both)
        #expect(open.status == .exited(78) && open.standardError.contains("chmod o= \(pair.key)"), "\(open.standardError)")
    }

    /// Credentials are there for the unit alone: who only looks at the configuration is told so, and the daemon does not start without them.
    @Test(.timeLimit(.minutes(10))) func credentialsAreNotLookedAtOutsideTheUnit() async throws {
        let directory = try TemporaryDirectory()
        let (configuration, store) = (directory.file("relayd.toml"), directory.file("relay.db"))
        try """
        [listen]
        address = "127.0.0.1:18997"
        [control]
        socket = "\(directory.file("control.sock"))"
        [store]
        path = "\(store)"
        [tls]
        certificate = "relay.pem"
        key = "relay.key"
        """.write(toFile: configuration, atomically: false, encoding: .utf8)
        var environment = ProcessInfo.processInfo.environment
        environment["CREDENTIALS_DIRECTORY"] = nil
        let note = "relay.pem is a credential of the service manager: the certificate and its key were not looked at"
        for option in ["--check-config", "--rehearse-upgrade"] {
            let looked = try await Subprocess.run(Programs.relayd, ["--config", configuration, option], environment: environment)
            #expect(looked.status == .exited(0) && looked.standardError.contains(note), "\(looked)")
        }
        // The note is beside the JSON that chatctl reads, not in it.
        let chatctl = Chatctl(socket: directory.file("control.sock"))
        let check = try await chatctl.run(
            "check", "configuration", "--json", "--config", configuration, "--relayd", Programs.relayd)
        let judged = geteuid() == 0 ? "which are there only while relayd runs" : "can be judged by root only"
        #expect(check.standardOutput.contains(judged), "\(check)")
        #expect(!check.standardOutput.contains("is not known"), "\(check)")

        let started = try await Subprocess.run(Programs.relayd, ["--config", configuration], environment: environment)
        #expect(started.status == .exited(78) && started.standardError.contains("LoadCredential="), "\(started)")
        #expect(!FileManager.default.fileExists(atPath: store))
        // A wrong credential is one, wherever it comes from.
        environment["CREDENTIALS_DIRECTORY"] = directory.path
        let missing = try await Subprocess.run(Programs.relayd, ["--config", configuration, "--check-config"], environment: environment)
        #expect(missing.status == .exited(78), "\(missing)")
    }

    @Test(.timeLimit(.minutes(10))) func alertsGoToAServerWithTLS() async throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority(in: directory)
        let pair = try authority.issue()
        let tls = try TLSServer(TLSIdentity(certificatePath: pair.certificate, keyPath: pair.key))
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(try #require(tls.handler(on: channel.eventLoop)))
                try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                try channel.pipeline.syncOperations.addHandler(Accepting())
            }
        }.bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(server.localAddress?.port)
        let alerts = "[alerts]\nwebhook = \"https://localhost:\(port)/hook\""
        let relay = try RelayProcess(environment: ["SSL_CERT_FILE": authority.file], sections: alerts)
        try await relay.start()
        let test = try await relay.chatctl.run("alert", "test")
        #expect(test.succeeded, "\(test)")
        await relay.terminate()
        let stranger = try RelayProcess(sections: alerts)
        try await stranger.start()
        let refused = try await stranger.chatctl.run("alert", "test")
        #expect(!refused.succeeded && refused.standardError.contains("not signed by anybody"), "\(refused)")
        await stranger.terminate()
        try await server.close()
    }

    private final class Accepting: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .end = unwrapInboundIn(data) else { return }
            context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: ["Content-Length": "0"]))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

/// Proxies in front of the relay, played by raw sockets.
@Suite("Proxies") struct ProxyTests {
    /// A header of the PROXY protocol for a client's address.
    private static func header(_ client: [UInt8], command: UInt8 = 0x21, family: UInt8? = nil, tail: [UInt8] = []) -> [UInt8] {
        let rest = client + (client.count == 4 ? [127, 0, 0, 1] : [UInt8](repeating: 0, count: 15) + [1]) + [0x30, 0x39, 0x1F, 0x90] + tail
        return [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, command, family ?? (client.count == 4 ? 0x11 : 0x21)]
            + [UInt8(rest.count >> 8), UInt8(rest.count & 0xFF)] + rest
    }

    private static let request = Array("GET /v1/info HTTP/1.1\r\nHost: relay\r\n\r\n".utf8)

    @Test(.timeLimit(.minutes(10)), arguments: [false, true]) func limitsCountTheClients(unix: Bool) async throws {
        let directory = try TemporaryDirectory()
        let socket = directory.file("clients.sock")
        let relay = try RelayProcess(
            limits: ["pending_per_address": 2], listen: "trusted_proxies = \"\(unix ? "unix" : "127.0.0.0/8")\"", unixSocket: unix ? socket : nil)
        try await relay.start()
        let port = relay.port
        @Sendable func connect() throws -> RawConnection { unix ? try RawConnection(socket: socket) : try RawConnection(port: port) }
        try await blocking {
            @Sendable func answered(_ header: [UInt8]) throws -> (Bool, RawConnection) {
                let connection = try connect()
                connection.send(header + Self.request)
                return ((try? connection.readReply())?.status == 200, connection)
            }
            let first = [try answered(Self.header([192, 0, 2, 1])), try answered(Self.header([192, 0, 2, 1]))]
            // The third of that address, and the first of others.
            let third = try answered(Self.header([192, 0, 2, 1]))
            let other = try answered(Self.header([192, 0, 2, 2]))
            let long = try answered(Self.header([0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 12), tail: [4, 0, 1, 0]))
            // A check of the proxy's own.
            let own = try answered(Self.header([192, 0, 2, 1], command: 0x20))
            #expect(first.map(\.0) == [true, true])
            #expect(!third.0)
            #expect(other.0 && long.0 && own.0)
            // In pieces.
            let slow = try connect()
            for byte in Self.header([192, 0, 2, 3]) { slow.send([byte]) }
            slow.send(Self.request)
            #expect(try slow.readReply().status == 200)
            // Malformed ones.
            for wrong in [
                Self.request, Array("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n".utf8) + Self.request, Self.header([192, 0, 2, 4], command: 0x11),
                Self.header([192, 0, 2, 4], command: 0x22), Self.header([192, 0, 2, 4], family: 0x12), Self.header([192, 0, 2, 4], family: 0x21),
                Self.header([192, 0, 2, 4], tail: [UInt8](repeating: 0, count: 2000)),
            ] {
                let connection = try connect()
                connection.send(wrong)
                let answer = (try? connection.readToEnd()) ?? []
                #expect(answer.isEmpty)
            }
        }
        #expect(await relay.line { $0.contains("listen.trusted_proxies") } != nil)
        await relay.terminate()
    }

    @Test(.timeLimit(.minutes(10))) func nobodyElseIsBelieved() async throws {
        let relay = try RelayProcess(limits: ["pending_per_address": 1], listen: "trusted_proxies = \"192.0.2.0/24, ::2, unix\"")
        try await relay.start()
        let port = relay.port
        try await blocking {
            let connection = try RawConnection(port: port)
            connection.send(Self.header([192, 0, 2, 1]) + Self.request)
            #expect(try connection.readReply().errorCode == "malformed")
            let plain = try RawConnection(port: port)
            plain.send(Self.request)
            #expect(try plain.readReply().status == 200)
        }
        await relay.terminate()
    }
}
