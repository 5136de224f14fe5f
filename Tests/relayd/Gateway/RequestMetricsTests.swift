import Foundation
import Hummingbird
import Logging
import NIOHTTP1
import RelayCrypto
import RelayHTTP
import RelayHostAssigner
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayStorage
import RelayTestSupport
import RelayWire
import Testing

@testable import RelayDirectory
@testable import RelayGateway

/// What the gateway counts, and the word by which an operator finds a failed request.
@Suite(.timeLimit(.minutes(10))) struct RequestMetricsTests {
    /// A new path without a line among the labels would disappear under “other”.
    @Test func everyRouteHasALabel() async throws {
        let folder = try TemporaryDirectory()
        let store = try Store(path: folder.file("relay.db"), onFailure: { Issue.record("the store failed: \($0)") })
        let sending = MessageSending(writer: store.writer, readers: store.readers, loops: [])
        let directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: SystemWallClock(), entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: "http://relay.test"), revocations: sending)
        let environment = GatewayEnvironment(
            settings: GatewaySettings(host: "127.0.0.1", port: 0, version: "test", publicURL: "http://relay.test"), directory: directory,
            sending: sending,
            presence: Presence(writer: store.writer, readers: store.readers, clock: SystemWallClock(), monotonic: ManualMonotonicClock()),
            open: OpenConnections(httpLimit: 1, logger: Logger(label: "test")),
            limits: GatewayLimits(
                RateLimits(), clock: ManualMonotonicClock(), directory: directory, alerts: nil), loops: [])
        let routes = Routes(environment: environment, assigner: HostAssigner(host: "here", url: "http://relay.test")).router().routes
        #expect(routes.count > 100)
        var found: Set<RequestRoute> = [.other]
        for route in routes {
            let label = RequestRoute(template: "\(route.path)")
            #expect(label != .other, "\(route.path)")
            found.insert(label)
        }
        #expect(found == Set(RequestRoute.allCases), "labels of paths that there are not")
        await store.close()
    }

    @Test func requestsSignInsAndLimitsAreCounted() async throws {
        let metrics = Metrics()
        try await RunningGateway.run(
            RunningGateway.Contacts(),
            {
                $0.metrics = metrics
                $0.monotonicClock = ManualMonotonicClock(1 << 40)
                $0.rates.limitLoopback = true
                $0.rates.signInsPerAddress = 1
            }
        ) { relay, _ in
            let device = try await relay.addUser("alice")
            #expect(metrics.signIns.value(.accepted) == 1)
            let _: Relay_V1_Info = try await relay.call(.GET, "/v1/info")
            #expect(metrics.requests.value(.info, .success) == 1)
            for path in ["/v1/chats/7", "/v1/nowhere", "/v1/users/1"] {
                await #expect(throws: RunningGateway.Failure.self) {
                    let _: Relay_V1_Chat = try await relay.call(.GET, path, token: path.hasPrefix("/v1/users") ? nil : device.token)
                }
            }
            #expect(metrics.requests.value(.chat, .request) == 1)
            #expect(metrics.requests.value(.other, .request) == 1)
            #expect(metrics.requests.value(.user, .request) == 1)

            var wrong = Relay_V1_TokenRequest()
            wrong.deviceID = device.id.rawValue
            wrong.challenge = Data(repeating: 1, count: 32)
            wrong.signature = Data(repeating: 1, count: 64)
            await #expect(throws: RunningGateway.Failure.self) { let _: Relay_V1_TokenReply = try await relay.call(.POST, "/v1/auth/token", wrong) }
            #expect(metrics.signIns.value(.challenge) == 1)
            // A minute's worth came at once; then the limit holds.
            var status = 0
            while status != 429 {
                do {
                    let _: Relay_V1_TokenReply = try await relay.call(.POST, "/v1/auth/token", wrong)
                } catch let failure as RunningGateway.Failure {
                    status = failure.status
                }
            }
            #expect(metrics.rateLimited.value(.signIns) == 1)
        }
    }

    @Test func eachFailureHasAWordOfItsOwn() async throws {
        try await RunningGateway.run { relay, _ in
            var words: Set<String> = []
            for path in ["/v1/nowhere", "/v1/nowhere", "/v1/chats"] {
                let reply = try await relay.http.request(.GET, path)
                let word = try #require(reply.headers.first(name: CorrelationToken.header))
                #expect(word.wholeMatch(of: /[0-9A-HJKMNP-TV-Z]{8}/) != nil, "\(word)")
                words.insert(word)
            }
            #expect(words.count == 3)
            #expect(try await relay.http.request(.GET, "/v1/info").headers.first(name: CorrelationToken.header) == nil)
        }
    }
}
