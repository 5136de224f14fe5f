import NIOHTTP1
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf
import RelayTestSupport
import Testing

@testable import RelayGateway

/// The connection service over REST, and what online devices are told of it.
@Suite struct ContactRoutesTests {
    private struct Answer {
        var status: Int
        var tag: String?
        var contact = Relay_V1_Contact()
        var error = Relay_V1_Error()
    }

    private func call(
        _ relay: RunningGateway, _ method: HTTPMethod, _ me: RunningGateway.Device, _ other: RunningGateway.Device, _ rest: String = "",
        ifMatch: String? = nil, body: String? = nil
    ) async throws -> Answer {
        var headers = [("Authorization", "Bearer \(me.token)")]
        if let ifMatch { headers.append(("If-Match", ifMatch)) }
        let reply = try await relay.http.request(
            method, "/v1/connection/user/\(me.user)/recipient/\(other.user)\(rest)", headers: headers, body: body.map { Array($0.utf8) })
        var answer = Answer(status: reply.status, tag: reply.headers.first(name: "ETag"))
        if reply.status < 300 {
            answer.contact = try Relay_V1_Contact(jsonUTF8Bytes: reply.body)
        } else {
            answer.error = try Relay_V1_Error(jsonUTF8Bytes: reply.body)
        }
        return answer
    }

    @Test func whatIsDecidedReachesBothSidesDevices() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            let streams = [try await relay.connect(alice), try await relay.connect(bob)]
            func expect(_ states: [Relay_V1_ContactState]) async throws {
                for (stream, state) in zip(streams, states) {
                    let frame = try await stream.frame { !$0.contacts.contacts.isEmpty }
                    #expect(frame.contacts.contacts.map(\.state) == [state])
                }
            }
            let asked = try await call(relay, .POST, alice, bob, body: #"{"category": "work"}"#)
            #expect(asked.status == 200 && asked.contact.state == .requested && asked.contact.category == "work")
            #expect(asked.tag == "\"\(asked.contact.version)\"")
            try await expect([.requested, .incoming])
            #expect(try await call(relay, .PUT, bob, alice, "/request/true").contact.state == .accepted)
            try await expect([.accepted, .accepted])
            #expect(try await call(relay, .PUT, bob, alice, "/block/true").contact.state == .blockedByMe)
            try await expect([.blockedByThem, .blockedByMe])
            #expect(try await call(relay, .PUT, bob, alice, "/block/false").contact.state == .accepted)
            try await expect([.accepted, .accepted])
            #expect(try await call(relay, .DELETE, alice, bob).contact.state == .contactNone)
            try await expect([.contactNone, .contactNone])
            // alice's label is hers.
            #expect(try await call(relay, .GET, bob, alice).contact.category.isEmpty)
        }
    }

    @Test func theListHasNamesAndOfAcceptedOnesTheKeys() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let alice = try await relay.addUser("alice")
            let others = [try await relay.addUser("bob"), try await relay.addUser("carol")]
            for other in others { #expect(try await call(relay, .POST, alice, other).status == 200) }
            #expect(try await call(relay, .PUT, others[0], alice, "/request/true").status == 200)
            let path = "/v1/connection/user/\(alice.user)"
            let all: Relay_V1_ContactsPage = try await relay.call(.GET, path, token: alice.token)
            #expect(all.contacts.map(\.user.name) == ["carol", "bob"] && !all.isDeltaUpdate && all.next == 0)
            #expect(all.contacts.map(\.user.devices.count) == [0, 1])
            let accepted: Relay_V1_ContactsPage = try await relay.call(.GET, path + "?state=accepted", token: alice.token)
            #expect(accepted.contacts.map(\.userID) == [others[0].user.rawValue])
            #expect(try await call(relay, .PUT, alice, others[1], body: #"{"category": "club"}"#).contact.category == "club")
            let club: Relay_V1_ContactsPage = try await relay.call(.GET, path + "?category=club", token: alice.token)
            #expect(club.contacts.map(\.userID) == [others[1].user.rawValue])
            let delta: Relay_V1_ContactsPage = try await relay.call(.GET, path + "?since=\(all.version)", token: alice.token)
            #expect(delta.isDeltaUpdate && delta.contacts.map(\.userID) == [others[1].user.rawValue])
        }
    }

    @Test func aDecisionThatMissedAnotherIsAConflict() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            let asked = try await call(relay, .POST, alice, bob, ifMatch: "\"0\"")
            let blocked = try await call(relay, .PUT, alice, bob, "/block/true", ifMatch: asked.tag)
            #expect(blocked.contact.state == .blockedByMe)
            let conflict = try await call(relay, .DELETE, alice, bob, ifMatch: asked.tag)
            #expect(conflict.status == 409 && conflict.error.code == "contact_conflict")
            #expect(conflict.error.contact.state == .blockedByMe && conflict.error.contact.version == blocked.contact.version)
            #expect(try await call(relay, .DELETE, alice, bob, ifMatch: blocked.tag).status == 200)
            // Whatever it is now.
            #expect(try await call(relay, .PUT, alice, bob, "/block/false", ifMatch: "*").contact.state == .contactNone)
        }
    }

    @Test func whatIsWrongGetsAnAnswerThatHelps() async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            func code(
                _ method: HTTPMethod, _ rest: String, _ other: RunningGateway.Device? = nil, ifMatch: String? = nil, body: String? = nil
            ) async throws -> String {
                let answer = try await call(relay, method, alice, other ?? bob, rest, ifMatch: ifMatch, body: body)
                #expect(!answer.error.hint.isEmpty)
                return "\(answer.status) \(answer.error.code)"
            }
            #expect(try await code(.PUT, "/request/true") == "404 request_unknown")
            #expect(try await code(.PUT, "/request/perhaps") == "400 malformed")
            #expect(try await code(.PUT, "/block/1") == "400 malformed")
            #expect(try await code(.POST, "", alice) == "400 malformed")
            #expect(try await code(.POST, "", ifMatch: "7") == "400 malformed")
            #expect(try await code(.POST, "", body: #"{"category": "a\u0007b"}"#) == "400 malformed")
            #expect(try await code(.POST, "", body: "{") == "400 malformed")
            #expect(try await code(.PATCH, "") == "405 method_not_allowed")
            var nobody = bob
            nobody.user = UserID(99)
            #expect(try await code(.POST, "", nobody) == "404 user_unknown")
            // Nobody sees or changes another's contacts.
            var mask = alice
            mask.user = bob.user
            #expect(try await call(relay, .POST, mask, alice).status == 404)
            let refused = await #expect(throws: RunningGateway.Failure.self) {
                let _: Relay_V1_ContactsPage = try await relay.call(.GET, "/v1/connection/user/\(bob.user)", token: alice.token)
            }
            #expect(refused?.error.code == "not_found")
            let wrong = await #expect(throws: RunningGateway.Failure.self) {
                let _: Relay_V1_ContactsPage = try await relay.call(.GET, "/v1/connection/user/\(alice.user)?state=friend", token: alice.token)
            }
            #expect(wrong?.error.message.contains("accepted") == true)
        }
    }

    /// A device that says it has seen the block and sends all the same is a bug or an attack; one that has not seen it is not.
    @Test func aBlockedSenderWhoKnowsItIsReported() async throws {
        let alerts = NotedAlerts()
        try await RunningGateway.run(.init(policy: ContactPolicy(), alerts: alerts)) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            #expect(try await call(relay, .POST, alice, bob).status == 200)
            #expect(try await call(relay, .PUT, bob, alice, "/request/true").status == 200)
            let chat = try await relay.openChat(alice, bob)
            let stream = try await relay.connect(alice)
            #expect(try await call(relay, .PUT, bob, alice, "/block/true").status == 200)
            let told = try await stream.frame { !$0.contacts.contacts.isEmpty }
            var frame = Relay_V1_ClientFrame()
            frame.send.chatID = chat.chatID
            frame.send.body = .init([1])
            for number in 1...2 as ClosedRange<UInt64> {
                frame.requestID = number
                frame.send.clientMessageID = number
                try stream.send(frame)
                let answer = try await stream.frame { $0.requestID == number }
                #expect(answer.error.code == "blocked")
                #expect(alerts.all == (number == 1 ? [] : [AlertEvent(.blockedSender, about: .user(alice.user))]))
                var seen = Relay_V1_ClientFrame()
                seen.contactsSeen.version = told.contacts.contacts.map(\.version).max() ?? 0
                try stream.send(seen)
            }
        }
    }
}
