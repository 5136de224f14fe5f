import FoundationEssentials
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayClient

/// Messages that cannot be read, asked for again and sent again: who asks, who answers, and who does not.
@Suite(.timeLimit(.minutes(10))) struct ResendTests {
    private func recovered(_ events: [SessionEvent]) -> [String?] {
        events.compactMap { if case .recovered(let entry) = $0 { entry.text } else { nil } }
    }

    private func refusals(_ events: [SessionEvent]) -> [KeyRefusal] {
        events.compactMap { if case .keysRefused(_, _, _, let refusal) = $0 { refusal } else { nil } }
    }

    private func request(
        _ room: Room, by name: String, for place: SentPlace, of device: String = "alice",
        _ change: (inout Relay_Client_V1_ResendRequest) -> Void = { _ in }
    ) throws -> Relay_V1_Envelope {
        let keys = try room[name].secrets.publicKeys
        var content = Relay_Client_V1_Content()
        content.resendRequest.chatSeq = place.chatSeq
        content.resendRequest.senderDeviceID = try room[device].id.rawValue
        content.resendRequest.clientMessageID = place.clientMessageID
        content.resendRequest.agreementKey = Data(keys.agreementKey)
        content.resendRequest.agreementSignature = Data(keys.agreementSignature)
        content.resendRequest.agreementVersion = 1
        change(&content.resendRequest)
        return try #require(try room.seal(content, from: name).envelopes["alice"])
    }

    // MARK: The way of a message

    @Test func asksAndGetsIt() async throws {
        let room = try Room("alice", "bob", "carol")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        let unread = try #require(try await room.history("bob").first)
        #expect(unread.text == nil && unread.problem == "could not be read: asked phone for it again")
        let requests = try await room.sent(by: "bob")
        try #require(requests.count == 1)
        for (name, envelope) in requests[0] {
            let events = try await room.give(envelope, to: name)
            let resends = events.contains { if case .resending(_, place.chatSeq, _, _) = $0 { true } else { false } }
            #expect(resends == (name == "alice"))
        }
        #expect(try await room.waiting("carol").isEmpty)
        let answers = try await room.sent(by: "alice")
        try #require(answers.count == 1)
        // Carol receives the answer as well and gets nothing out of it.
        #expect(try await room.give(try #require(answers[0]["carol"]), to: "carol").isEmpty)
        #expect(recovered(try await room.give(try #require(answers[0]["bob"]), to: "bob")) == ["secret"])
        let read = try #require(try await room.history("bob").first)
        #expect(read.text == "secret" && read.problem == nil && read.chatSeq == place.chatSeq && read.writtenAt == place.sentAt)
        // Nothing of it is shown to anybody.
        for name in ["alice", "bob", "carol"] { #expect(try await room.history(name).map(\.text) == ["secret"]) }
        // Once: neither a second answer nor a second request.
        #expect(try await room.give(try #require(answers[0]["bob"]), to: "bob").isEmpty)
        let again = try request(room, by: "bob", for: place)
        try await room.give(again, to: "alice")
        #expect(try await room.waiting("alice").isEmpty)
    }

    /// Only the sender says when a message was written, and may say anything.
    @Test func whenItWasWrittenIsInTheCalendar() async throws {
        let room = try Room("alice", "bob")
        let latest = Limits.writtenAtMilliseconds
        #expect(Timestamp(milliseconds: latest).description == "9999-12-31T23:59:59.999Z")
        let times: [(said: Int64, kept: Int64)] = [
            (.min, 0), (-1, 0), (0, 0), (1_800_000_000_000, 1_800_000_000_000), (latest, latest), (latest + 1, latest), (.max, latest),
        ]
        for (said, kept) in times {
            var content = Relay_Client_V1_Content()
            content.text.text = "\(said)"
            content.writtenAtMs = said
            try await room.give(try #require(try room.seal(content, from: "alice").envelopes["bob"]), to: "bob")
            let entry = try #require(try await room.history("bob").last)
            #expect(entry.text == "\(said)" && entry.writtenAt == Timestamp(milliseconds: kept))
        }
        // Nor is what comes again any better.
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        _ = try await room["alice"].session.inside { _, state, _ in
            try state.run("UPDATE history SET written_at = ? WHERE chat_seq = ?") {
                $0.bind(1, Int64.min)
                $0.bind(2, place.chatSeq)
            }
        }
        try await room.give(try #require(try await room.sent(by: "bob").first?["alice"]), to: "alice")
        try await room.give(try #require(try await room.sent(by: "alice").first?["bob"]), to: "bob")
        let read = try #require(try await room.history("bob").first { $0.text == "secret" })
        #expect(read.writtenAt == Timestamp(milliseconds: 0))
    }

    @Test func theContentIsForTheDeviceThatAsked() async throws {
        let room = try Room("alice", "bob", "carol")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        let requests = try await room.sent(by: "bob")
        try await room.give(try #require(requests.first?["alice"]), to: "alice")
        let outer = try #require(try await room.sent(by: "alice").first?["carol"])
        let (alice, carol) = (try room["alice"], try room["carol"])
        func open(_ body: Data, _ key: Data, _ number: UInt64) throws -> Relay_Client_V1_Content {
            let header = EnvelopeHeader(chat: room.chat, senderUser: alice.user, senderDevice: alice.id, clientMessageID: number)
            return try Relay_Client_V1_Content(
                serializedBytes: try EnvelopeV1.open(
                    body: Array(body), wrappedKey: Array(key), header: header, device: carol.secrets, senderIdentityKey: alice.secrets.identityKey))
        }
        let resent = try open(outer.body, outer.key, outer.clientMessageID).resent
        #expect(resent.chatSeq == place.chatSeq && resent.deviceID == 21)
        #expect(throws: CryptoError.openFailed) { try open(resent.body, resent.key, resent.clientMessageID) }
    }

    @Test func survivesARestartOfBoth() async throws {
        let room = try Room("alice", "bob")
        try await room.says("secret", from: "alice", without: ["bob"])
        // Sealed and not accepted yet: the same bytes go out after a restart.
        let before = try await room["bob"].session.inside { session, state, effects in
            try session.seal(state, &effects)
            return try state.sealedOutbox().map { try state.sealedBytes($0.id) }
        }.0
        #expect(before.count == 1)
        #expect(try await room["bob"].session.read { state throws(ClientError) in try state.deadLetters() }.isEmpty)
        let requests = try await room.sent(by: "bob")
        try await room.give(try #require(requests.first?["alice"]), to: "alice")
        #expect(try await room.waiting("alice").count == 1)
    }

    // MARK: Who answers

    @Test func theOneThatIsNamedAnswers() async throws {
        let room = try Room("alice", "bob", "carol")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        let wrong: [@Sendable (inout Relay_Client_V1_ResendRequest) -> Void] = [
            { $0.senderDeviceID = 31 }, { $0.clientMessageID += 1 }, { $0.chatSeq += 1 }, { $0.chatSeq = 0 }, { $0.chatSeq = .max },
            { $0.senderDeviceID = 0 },
        ]
        for change in wrong { #expect(try await room.give(try request(room, by: "bob", for: place, change), to: "alice").isEmpty) }
        // Carol's own messages are hers to send again.
        let hers = try await room.says("hers", from: "carol", without: [])
        #expect(try await room.give(try request(room, by: "bob", for: hers), to: "alice").isEmpty)
        #expect(try await room.waiting("alice").isEmpty)
    }

    @Test func keysMustBeSignedAndNotOlder() async throws {
        let room = try Room("alice", "bob")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        let bob = try room["bob"]
        let other = AgreementSecret.generate(SystemEntropy()).publicKey
        let forged = try request(room, by: "bob", for: place) {
            $0.agreementKey = Data(other)
            $0.agreementVersion = 2
        }
        #expect(refusals(try await room.give(forged, to: "alice")) == [.signature])
        // Another key under the number that is known.
        let signature = bob.secrets.sign(Signing.agreementMessage(agreementKey: other))
        let second = try request(room, by: "bob", for: place) {
            $0.agreementKey = Data(other)
            $0.agreementSignature = Data(signature)
        }
        #expect(refusals(try await room.give(second, to: "alice")) == [.older])
        // An older one than is known.
        let newest = AgreementSecret.generate(SystemEntropy()).publicKey
        _ = try await room["alice"].session.inside { session, state, effects in
            var known = try #require(try state.device(DeviceID(21)))
            (known.agreementKey, known.agreementVersion) = (newest, 7)
            #expect(try state.store(active: known) == nil)
        }
        #expect(refusals(try await room.give(try request(room, by: "bob", for: place), to: "alice")) == [.older])
        #expect(try await room.waiting("alice").isEmpty)
        // A newer one serves for the answer, and the relay is asked before anything else is sealed. It is not kept: the relay counts.
        let newer = try request(room, by: "bob", for: place) {
            $0.agreementKey = Data(other)
            $0.agreementSignature = Data(signature)
            $0.agreementVersion = 4_000_000_000
        }
        try await room.give(newer, to: "alice")
        let (stale, _) = try await room["alice"].session.inside { session, _, _ in session.staleChats }
        #expect(stale == [room.chat])
        #expect(try await room["alice"].session.read { state throws(ClientError) in try state.devices(of: UserID(2)) }.map(\.agreementVersion) == [7])
        let answer = try await room.waiting("alice")
        #expect(answer == [.resend(seq: place.chatSeq, to: bob.id, agreementKey: other, version: 4_000_000_000)])
    }

    @Test func whoWasNotThereGetsNothing() async throws {
        let room = try Room("alice", "bob", "carol")
        let place = try await room.says("secret", from: "alice", without: [])
        let later = place.chatSeq + 1
        for user in ["bob", "alice"] {
            // Added since, or the sender itself was away in between and does not know who came meanwhile.
            let added = try room[user].user
            let entry = HistoryEntry(
                chat: room.chat, chatSeq: later, message: MessageID(1000 + later), senderUser: UserID(1), senderDevice: DeviceID(11),
                clientMessageID: 99, sentAt: place.sentAt, writtenAt: nil, text: nil, problem: nil,
                kind: .change(GroupChangeRecord(action: .add, users: [added], role: nil)))
            _ = try await room["alice"].session.inside { _, state, _ in try state.insertHistory(entry) }
            let was = try await room["alice"].session.inside { _, state, _ in
                (
                    try state.wasMember(UserID(2), of: ChatID(5), at: place.chatSeq, me: UserID(1)),
                    try state.wasMember(UserID(2), of: ChatID(5), at: later, me: UserID(1))
                )
            }.0
            #expect(was == (false, true), "\(user)")
        }
        // A place that is missing could hold anything.
        let missing = try await room["carol"].session.inside { _, state, _ in
            try state.run("INSERT INTO gaps VALUES (5, 9, 9, 0)")
            return try state.wasMember(UserID(2), of: ChatID(5), at: 8, me: UserID(3))
        }.0
        #expect(!missing)
        let stranger = try await room["carol"].session.inside { _, state, _ in try state.wasMember(UserID(77), of: ChatID(5), at: 20, me: UserID(3)) }
            .0
        #expect(!stranger)
    }

    @Test func aDeviceThatCameLaterGetsNothing() async throws {
        let room = try Room("alice", "bob")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        // Its number would be above that of the message.
        _ = try await room["alice"].session.inside { _, state, _ in try state.run("UPDATE history SET message_id = 20") }
        #expect(try await room.give(try request(room, by: "bob", for: place), to: "alice").isEmpty)
        #expect(try await room.waiting("alice").isEmpty)
    }

    @Test func whatWasDeletedIsGone() async throws {
        let room = try Room("alice", "bob")
        let (one, two) = (
            try await room.says("one", from: "alice", without: ["bob"]), try await room.says("two", from: "alice", without: ["bob"])
        )
        let requests = try await room.sent(by: "bob")
        try #require(requests.count == 2)
        let delete: @Sendable (UInt64) -> @Sendable (isolated Session, ClientState, inout Session.Effects) throws -> Void = { seq in
            { _, state, _ in try state.applyDeletion(ChatID(5), [seq], forEveryone: false) }
        }
        _ = try await room["alice"].session.inside(delete(one.chatSeq))
        for envelope in requests { try await room.give(try #require(envelope["alice"]), to: "alice") }
        #expect(try await room.waiting("alice").count == 1)
        // Deleted between the request and the answer.
        _ = try await room["alice"].session.inside(delete(two.chatSeq))
        #expect(try await room.sent(by: "alice").isEmpty)
        #expect(try await room["alice"].session.read { state throws(ClientError) in try state.deadLetters() }.isEmpty)
        #expect(try await room["alice"].session.read { state throws(ClientError) in try state.outboxCount() } == 0)
    }

    @Test func blockedUsersGetNothing() async throws {
        let room = try Room("alice", "bob")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        try await room["alice"].session.block("bob")
        #expect(try await room.give(try request(room, by: "bob", for: place), to: "alice").isEmpty)
        #expect(try await room.waiting("alice").isEmpty)
        // And who is blocked is not asked.
        try await room.says("unwanted", from: "bob", without: ["alice"])
        #expect(try await room.waiting("alice").isEmpty)
    }

    // MARK: What is taken

    @Test func onlyWhatWasAskedForIsTaken() async throws {
        let room = try Room("alice", "bob", "carol")
        let place = try await room.says("secret", from: "alice", without: ["bob"])
        let readable = try await room.says("readable", from: "alice", without: [])
        let (alice, bob) = (try room["alice"], try room["bob"])
        func resent(
            _ text: String, for place: SentPlace, from name: String, _ change: (inout Relay_Client_V1_Resent) -> Void = { _ in }
        ) throws -> Relay_V1_Envelope {
            let sender = try room[name]
            var inner = Relay_Client_V1_Content()
            inner.text.text = text
            let header = EnvelopeHeader(chat: room.chat, senderUser: sender.user, senderDevice: sender.id, clientMessageID: place.clientMessageID)
            let sealed = try EnvelopeV1.seal(
                try inner.serializedBytes(), header: header, sender: sender.secrets, recipients: [(bob.user, bob.id, bob.secrets.agreementKey)],
                entropy: SystemEntropy())
            var content = Relay_Client_V1_Content()
            content.resent.chatSeq = place.chatSeq
            content.resent.clientMessageID = place.clientMessageID
            content.resent.deviceID = bob.id.rawValue
            content.resent.body = Data(sealed.body)
            content.resent.key = Data(sealed.keys[0].key)
            content.resent.keyVersion = 1
            change(&content.resent)
            return try #require(try room.seal(content, from: name).envelopes["bob"])
        }
        // Another device than the one that was asked; nobody asked; other numbers; another device's.
        #expect(try await room.give(try resent("forged", for: place, from: "carol"), to: "bob").isEmpty)
        #expect(try await room.give(try resent("changed", for: readable, from: "alice"), to: "bob").isEmpty)
        #expect(try await room.give(try resent("x", for: place, from: "alice") { $0.clientMessageID += 1 }, to: "bob").isEmpty)
        #expect(try await room.give(try resent("x", for: place, from: "alice") { $0.deviceID = 31 }, to: "bob").isEmpty)
        #expect(try await room.give(try resent("x", for: place, from: "alice") { $0.chatSeq = 0 }, to: "bob").isEmpty)
        #expect(try await room.history("bob").map(\.text) == [nil, "readable"])
        #expect(recovered(try await room.give(try resent("secret", for: place, from: "alice"), to: "bob")) == ["secret"])
        #expect(recovered(try await room.give(try resent("other", for: place, from: "alice"), to: "bob")) == [])
        #expect(try await room.history("bob").map(\.text) == ["secret", "readable"])
        // One that cannot be opened either ends it.
        let third = try await room.says("third", from: "alice", without: ["bob"])
        #expect(try await room.give(try resent("x", for: third, from: "alice") { $0.key = Data(count: 48) }, to: "bob").isEmpty)
        #expect(try await room.history("bob").last?.problem == "could not be read: not even when phone had sent it again")
        _ = alice
    }

    // MARK: Bounds

    @Test func aFloodOfRequestsIsBounded() async throws {
        let room = try Room("alice", "bob")
        var places: [SentPlace] = []
        for number in 0..<(Limits.resendAnswers + 5) { places.append(try await room.says("\(number)", from: "alice", without: [])) }
        for place in places {
            for _ in 0..<2 { try await room.give(try request(room, by: "bob", for: place), to: "alice") }
        }
        #expect(try await room.waiting("alice").count == Limits.resendAnswers)
        room.clock.advance(by: Limits.resendWindow)
        for place in places { try await room.give(try request(room, by: "bob", for: place), to: "alice") }
        #expect(try await room.waiting("alice").count == Limits.resendAnswers + 5)
    }

    @Test func aDeviceAsksForSoManyAndOnceForEach() async throws {
        let room = try Room("alice", "bob")
        for number in 0..<(Limits.resendRequests + 3) { try await room.says("\(number)", from: "alice", without: ["bob"]) }
        #expect(try await room.waiting("bob").count == Limits.resendRequests)
        let problems = try await room.history("bob").compactMap(\.problem)
        #expect(problems.count == Limits.resendRequests + 3)
        #expect(problems.last == "could not be read: too many messages of this chat were asked for again already")
        room.clock.advance(by: Limits.resendWindow + .seconds(1))
        try await room.says("later", from: "alice", without: ["bob"])
        #expect(try await room.waiting("bob").count == Limits.resendRequests + 1)
    }

    @Test func aDeviceThatIsGoneIsNotAsked() async throws {
        let room = try Room("alice", "bob")
        _ = try await room["bob"].session.inside { _, state, _ in try state.deactivate(DeviceID(11)) }
        try await room.says("secret", from: "alice", without: ["bob"])
        #expect(try await room.history("bob").first?.problem == "could not be read: phone is gone and cannot be asked for it")
        #expect(try await room.waiting("bob").isEmpty)
    }

    /// A member's client may put anything into these messages. Nobody but who asked rightly gets anything, and nothing readable changes.
    @Test(arguments: [UInt64.random(in: 1 ... .max)]) func anythingElseIsNothing(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let room = try Room("alice", "bob", "carol")
        let mine = try await room.says("mine", from: "alice", without: ["bob"])
        let theirs = try await room.says("theirs", from: "carol", without: ["alice"])
        let (asked, before) = (try await room.waiting("alice"), try await room.history("alice"))
        #expect(asked == [.requestResend(seq: theirs.chatSeq, device: DeviceID(31), clientMessageID: theirs.clientMessageID)])
        func number() -> UInt64 {
            let some: [UInt64] = [0, 1, 2, 3, 11, 21, 31, mine.chatSeq, mine.clientMessageID, theirs.chatSeq, .max, 1 << 63]
            return some.randomElement(using: &random) ?? 0
        }
        func bytes(_ some: [Int]) -> Data {
            let count = some.randomElement(using: &random) ?? 0
            return Data((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) })
        }
        for _ in 0..<400 {
            var content = Relay_Client_V1_Content()
            if Bool.random(using: &random) {
                content.resendRequest.chatSeq = number()
                content.resendRequest.senderDeviceID = number()
                content.resendRequest.clientMessageID = number()
                content.resendRequest.agreementVersion = UInt32(truncatingIfNeeded: number())
                content.resendRequest.agreementKey = bytes([0, 31, 32, 64])
                content.resendRequest.agreementSignature = bytes([0, 64])
            } else {
                content.resent.chatSeq = number()
                content.resent.clientMessageID = number()
                // The right one would end alice's asking, as whoever was asked may do.
                content.resent.deviceID = [0, 21, 31, .max].randomElement(using: &random) ?? 0
                content.resent.body = bytes([0, 1, 201, 300])
                content.resent.key = bytes([0, 48])
                content.resent.keyVersion = UInt32(truncatingIfNeeded: number())
            }
            let sender = Bool.random(using: &random) ? "bob" : "carol"
            for event in try await room.give(try #require(try room.seal(content, from: sender).envelopes["alice"]), to: "alice") {
                guard case .keysRefused = event else {
                    Issue.record("seed \(seed): \(event)")
                    continue
                }
            }
        }
        #expect(try await room.waiting("alice") == asked, "seed \(seed)")
        #expect(try await room.history("alice") == before, "seed \(seed)")
    }

    /// What the relay will never take tells no person, but the history says so.
    @Test func aRequestThatCannotBeSentIsNoDeadLetter() async throws {
        let room = try Room("alice", "bob")
        try await room.says("secret", from: "alice", without: ["bob"])
        _ = try await room["bob"].session.inside { _, state, _ in
            for entry in try state.outbox() { #expect(try state.bury(entry.id, code: "blocked", reason: "alice blocks you").isEmpty) }
        }
        #expect(try await room.history("bob").first?.problem == "could not be read: it could not be asked for again: alice blocks you")
        #expect(try await room["bob"].session.read { state throws(ClientError) in try state.deadLetters() }.isEmpty)
    }
}
