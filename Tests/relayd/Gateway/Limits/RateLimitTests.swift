import Foundation
import NIOCore
import NIOHTTP1
import RelayCrypto
import RelayDirectory
import RelayHTTP
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf
import RelayTestSupport
import Testing

@testable import RelayGateway

private func send(_ chat: Relay_V1_Chat, _ number: UInt64, request: UInt64? = nil) -> Relay_V1_ClientFrame {
    var frame = Relay_V1_ClientFrame()
    frame.requestID = request ?? number
    frame.send.chatID = chat.chatID
    frame.send.clientMessageID = number
    frame.send.body = Data([1])
    frame.send.keys = chat.members.map { member in
        var keys = Relay_V1_MemberKeys()
        keys.userID = member.userID
        keys.devices = member.devices.map { device in
            var key = Relay_V1_WrappedKey()
            key.deviceID = device.deviceID
            key.key = Data(repeating: 7, count: 48)
            return key
        }
        return keys
    }
    return frame
}

/// What became of the sends `numbers`, in the order of the numbers: nil for `sent`, else the error.
private func answers(_ connection: RawConnection, _ numbers: ClosedRange<UInt64>) async throws -> [Relay_V1_Error?] {
    var found: [UInt64: Relay_V1_Error?] = [:]
    while found.count < numbers.count {
        let frame = try await connection.frame()
        guard numbers.contains(frame.requestID) else { continue }
        if case .error(let error) = frame.kind { found[frame.requestID] = .some(error) } else { found[frame.requestID] = .some(nil) }
    }
    return numbers.map { found[$0] ?? nil }
}

/// The limits over real sockets, on a clock that moves when it is told to.
@Suite(.timeLimit(.minutes(10))) struct RateLimitTests {
    private let clock = ManualMonotonicClock(1 << 40)
    private let alerts = NotedAlerts()

    private func run(_ change: (inout RateLimits) -> Void, _ body: (RunningGateway) async throws -> Void) async throws {
        var rates = RateLimits()
        change(&rates)
        try await RunningGateway.run {
            $0.rates = rates
            $0.monotonicClock = clock
            $0.alerts = alerts
        } _: { relay, _ in
            try await body(relay)
        }
    }

    private let actor = Actor(uid: 0, operation: "test", subject: "test")

    @Test func aDeviceThatFloodsIsToldToWaitAndKeepsItsOrder() async throws {
        try await run {
            $0.messagesPerDevice = 1
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            let from = try await relay.connect(alice)
            let to = try await relay.connect(bob)
            for number in 1...65 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            let first = try await answers(from, 1...65)
            #expect(first.prefix(60).allSatisfy { $0 == nil })
            #expect(first.dropFirst(60).allSatisfy { $0?.code == "rate_limited" && $0?.retryAfterMs == 1000 })
            #expect(first.last??.hint == ErrorCode.rateLimited.hint)

            // The wait is over, but what was refused first must come first.
            clock.advance(by: .seconds(1))
            try from.send(send(chat, 65))
            #expect(try await answers(from, 65...65).first??.code == "rate_limited")
            try from.send(send(chat, 61))
            #expect(try await answers(from, 61...61) == [nil])
            // There was one token.
            try from.send(send(chat, 62))
            try from.send(send(chat, 63))
            #expect(try await answers(from, 62...63).map { $0?.code } == ["rate_limited", "rate_limited"])
            clock.advance(by: .milliseconds(999))
            try from.send(send(chat, 62))
            #expect(try await answers(from, 62...62).first??.retryAfterMs == 1)
            clock.advance(by: .seconds(60))
            for number in 62...65 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            #expect(try await answers(from, 62...65) == [nil, nil, nil, nil])
            // The connection went on all the time.
            try from.send(.ping(1000))
            _ = try await from.frame { $0.requestID == 1000 }
            var received: [UInt64] = []
            while received.count < 65 {
                let envelopes = try await to.frame().deliver.envelopes
                received += envelopes.map(\.clientMessageID)
                if let last = envelopes.last { try to.send(.ack(last.mailboxSeq)) }
            }
            #expect(received == Array(1...65))
        }
    }

    @Test func connectingAgainOrUsingRESTFillsNoBucket() async throws {
        try await run {
            $0.messagesPerDevice = 1
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let chat = try await relay.openChat(alice, try await relay.addUser("bob"))
            let first = try await relay.connect(alice)
            for number in 1...60 as ClosedRange<UInt64> { try first.send(send(chat, number)) }
            #expect(try await answers(first, 1...60).allSatisfy { $0 == nil })
            first.close()
            let second = try await relay.connect(alice)
            try second.send(send(chat, 61))
            #expect(try await answers(second, 61...61).first??.code == "rate_limited")
            let body: [UInt8] = try send(chat, 62).send.jsonUTF8Bytes()
            let reply = try await relay.http.request(
                .POST, "/v1/chats/\(chat.chatID)/messages", headers: [("Authorization", "Bearer \(alice.token)")], body: body)
            #expect(reply.status == 429 && reply.headers.first(name: "retry-after") == "1")
            clock.advance(by: .seconds(2))
            let sent: Relay_V1_Sent = try await relay.call(.POST, "/v1/chats/\(chat.chatID)/messages", send(chat, 62).send, token: alice.token)
            #expect(sent.chatSeq == 61)
        }
    }

    @Test func devicesShareTheirUsersBucket() async throws {
        try await run {
            $0.messagesPerUser = 1
        } _: { relay in
            let phone = try await relay.addUser("alice")
            let laptop = try await relay.enrol(try await relay.directory.createInvite(user: "alice", lifetime: nil, actor: actor).code)
            let chat = try await relay.openChat(phone, try await relay.addUser("bob"))
            let one = try await relay.connect(phone)
            let other = try await relay.connect(laptop)
            for number in 1...59 as ClosedRange<UInt64> { try one.send(send(chat, number)) }
            #expect(try await answers(one, 1...59).allSatisfy { $0 == nil })
            try other.send(send(chat, 1))
            #expect(try await answers(other, 1...1) == [nil])
            try other.send(send(chat, 2))
            #expect(try await answers(other, 2...2).first??.code == "rate_limited")
        }
    }

    @Test func usersWithoutLimitsAreNotHeld() async throws {
        try await run {
            $0.messagesPerDevice = 1
            $0.anomalyMessages = 10
        } _: { relay in
            let added = try await relay.directory.addUser(
                name: "bot", displayName: nil, avatar: nil, inviteLifetime: nil, noLimits: true, actor: actor)
            #expect(added.user.user.noLimits)
            let bot = try await relay.enrol(added.invite.code)
            let chat = try await relay.openChat(bot, try await relay.addUser("bob"))
            let from = try await relay.connect(bot)
            for number in 1...200 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            #expect(try await answers(from, 1...200).allSatisfy { $0 == nil })
            #expect(alerts.all.isEmpty)
        }
    }

    @Test func anAddressIsHeldToItsMessages() async throws {
        try await run {
            $0.messagesPerAddress = 1
            $0.limitLoopback = true
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            let one = try await relay.connect(alice)
            let other = try await relay.connect(bob)
            for number in 1...60 as ClosedRange<UInt64> { try one.send(send(chat, number)) }
            #expect(try await answers(one, 1...60).allSatisfy { $0 == nil })
            try other.send(send(chat, 1))
            #expect(try await answers(other, 1...1).first??.code == "rate_limited")
        }
    }

    @Test func anAddressIsHeldToItsRequestsAndLoopbackIsExempt() async throws {
        for counted in [true, false] {
            try await run {
                $0.requestsPerAddress = 1
                $0.limitLoopback = counted
            } _: { relay in
                for _ in 0..<60 { #expect(try await relay.http.request(.GET, "/v1/info").status == 200) }
                let reply = try await relay.http.request(.GET, "/v1/info")
                #expect(reply.status == (counted ? 429 : 200))
                guard counted else { return }
                #expect(reply.headers.first(name: "retry-after") == "1")
                let error = try Relay_V1_Error(jsonUTF8Bytes: reply.body)
                #expect(error.code == "rate_limited" && error.retryAfterMs == 1000)
                clock.advance(by: .seconds(1))
                #expect(try await relay.http.request(.GET, "/v1/info").status == 200)
            }
        }
    }

    @Test func anAddressIsHeldToItsSignIns() async throws {
        try await run {
            $0.signInsPerAddress = 1
            $0.limitLoopback = true
        } _: { relay in
            // An enrolment and the two steps of a sign-in each.
            for number in 0..<20 { _ = try await relay.addUser("user\(number)") }
            await #expect {
                _ = try await relay.addUser("late")
            } throws: {
                ($0 as? RunningGateway.Failure)?.error.code == "rate_limited"
            }
            let device = RunningGateway.Device(user: UserID(1), id: DeviceID(1), secrets: .generate(SystemEntropy()), token: "")
            await #expect { _ = try await relay.token(device) } throws: { ($0 as? RunningGateway.Failure)?.status == 429 }
        }
    }

    /// A connection too many is closed without a word.
    @Test func anAddressIsHeldToItsConnections() async throws {
        try await run {
            $0.pendingPerAddress = 3
            $0.limitLoopback = true
        } _: { relay in
            let alice = try await relay.addUser("alice")
            // The client of `addUser` holds one.
            let one = try await RawConnection.open(port: relay.port)
            let two = try await RawConnection.open(port: relay.port)
            #expect(try await RawConnection.open(port: relay.port).endsNow())
            // One that becomes a WebSocket makes room.
            one.send(text: Handshake(token: alice.token).text)
            #expect(try await one.replyHead().status == 101)
            try one.send(.ping(1))
            _ = try await one.frame { $0.requestID == 1 }
            let three = try await RawConnection.open(port: relay.port)
            three.send(text: "GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(try await three.replyHead().status == 200)
            two.send(text: "GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await two.replyHead().status == 200)
        }
        try await run {
            $0.connectionsPerAddress = 1
            $0.limitLoopback = true
        } _: { relay in
            for _ in 0..<60 {
                let connection = try await RawConnection.open(port: relay.port)
                connection.send(text: "GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                #expect(try await connection.replyHead().status == 200)
            }
            #expect(try await RawConnection.open(port: relay.port).endsNow())
            clock.advance(by: .seconds(1))
            let connection = try await RawConnection.open(port: relay.port)
            connection.send(text: "GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(try await connection.replyHead().status == 200)
        }
    }

    @Test func handshakesAreHeldToARateOverAll() async throws {
        try await run {
            $0.handshakesPerSecond = 2
        } _: { relay in
            let alice = try await relay.addUser("alice")
            _ = try await relay.connect(alice)
            _ = try await relay.connect(alice)
            // Each is sent to a time of its own.
            var waits: [UInt32] = []
            for seconds in ["2", "2", "3"] {
                let connection = try await RawConnection.open(port: relay.port)
                connection.send(text: Handshake(token: alice.token).text)
                let (status, error, head) = try await connection.failure()
                #expect(status == 429 && error.code == "rate_limited" && head.headers["retry-after"] == seconds)
                waits.append(error.retryAfterMs)
            }
            #expect(waits == [1500, 2000, 2500])
            clock.advance(by: .seconds(1))
            _ = try await relay.connect(alice)
        }
    }

    @Test func aSenderOverTheThresholdIsReportedOnce() async throws {
        try await run {
            $0.anomalyMessages = 5
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let chat = try await relay.openChat(alice, try await relay.addUser("bob"))
            let from = try await relay.connect(alice)
            for number in 1...20 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            #expect(try await answers(from, 1...20).allSatisfy { $0 == nil })
            #expect(alerts.all == [AlertEvent(.highSendRate, about: .user(alice.user), figure: 6)])
            #expect(try await relay.directory.userWithDevices(alice.user).user.suspension == nil)
        }
    }

    @Test func aSenderOverTheThresholdIsSuspendedWhenTheOperatorWantsIt() async throws {
        try await run {
            $0.anomalyMessages = 5
            $0.overThreshold = .suspend
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let chat = try await relay.openChat(alice, try await relay.addUser("bob"))
            let from = try await relay.connect(alice)
            for number in 1...6 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            #expect(await from.closeCode() == 4411)
            #expect(alerts.all.count == 1)
            let suspension = try await relay.directory.userWithDevices(alice.user).user.suspension
            #expect(suspension?.reason == "more than 5 messages in 60 s")
            let entry = try #require(try await relay.directory.audit(limit: 1).first?.actor)
            #expect(entry.operation == "relayd/suspend" && entry.subject == "alice" && entry.uid == geteuid())
        }
    }

    @Test func aSuspendedUserIsShutOutAndLosesNothing() async throws {
        try await run { _ in
        } _: { relay in
            let alice = try await relay.addUser("alice")
            let bob = try await relay.addUser("bob")
            let chat = try await relay.openChat(alice, bob)
            let from = try await relay.connect(alice)
            let to = try await relay.connect(bob)
            _ = try await to.frame { if case .caughtUp = $0.kind { true } else { false } }
            _ = try await relay.directory.suspendUser(named: "bob", reason: "looked at", actor: actor)
            #expect(await to.closeCode() == 4411)

            // The token that is still good opens nothing, and there is no other.
            let again = try await RawConnection.open(port: relay.port)
            again.send(text: Handshake(token: bob.token).text)
            let (status, error, _) = try await again.failure()
            #expect(status == 403 && error.code == "user_suspended")
            await #expect { let _: Relay_V1_ConversationsPage = try await relay.call(.GET, "/v1/chats", token: bob.token) } throws: {
                ($0 as? RunningGateway.Failure)?.error.code == "user_suspended"
            }
            await #expect { _ = try await relay.token(bob) } throws: { ($0 as? RunningGateway.Failure)?.error.code == "user_suspended" }

            for number in 1...3 as ClosedRange<UInt64> { try from.send(send(chat, number)) }
            #expect(try await answers(from, 1...3) == [nil, nil, nil])
            _ = try await relay.directory.resumeUser(named: "bob", actor: actor)
            let back = try await relay.connect(bob)
            var received: [UInt64] = []
            while received.count < 3 { received += try await back.frame().deliver.envelopes.map(\.clientMessageID) }
            #expect(received == [1, 2, 3])
            try back.send(send(chat, 1))
            #expect(try await answers(back, 1...1) == [nil])
        }
    }
}
