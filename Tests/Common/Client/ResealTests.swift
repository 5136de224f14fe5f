import RelayModel
import Testing

@testable import RelayClient

/// What the relay refused, and what it says about it, again and again.
@Suite(.timeLimit(.minutes(10))) struct ResealTests {
    /// The first of two messages is refused for its devices, the second because the user is gone: then the first cannot go either.
    @Test func whatIsHeldGoesWithItsRecipient() async throws {
        let room = try Room("alice", "bob")
        let (session, chat) = (try room["alice"].session, room.chat)
        _ = try await session.inside { session, state, effects in
            let rows = try ["one", "two"].map { try state.enqueue($0, to: "bob", writtenAt: Timestamp(milliseconds: 1)) }
            _ = try state.enqueue(
                "", to: "bob", writtenAt: Timestamp(milliseconds: 1), target: .chat(chat), command: .delete(seqs: [1], forEveryone: true))
            try session.seal(state, &effects)
            let sent = session.window.take()
            try #require(sent.map(\.row).prefix(2) == rows[...] && sent.count == 3)
            _ = session.window.mustReseal(sent[0].clientMessageID)
            _ = session.window.mustReseal(sent[2].clientMessageID)
            _ = session.window.answered(sent[1].clientMessageID)
            _ = try state.bury(sent[1].row, code: "recipient_gone", reason: "gone")
            try state.markGone(chat)
            _ = try state.enqueue("three", to: "bob", writtenAt: Timestamp(milliseconds: 1))
        }
        try await session.giveUp(on: "bob", Refusal(code: "user_unknown", message: "nobody"))
        let dead = try await session.read { state throws(ClientError) in try state.deadLetters() }
        #expect(dead.map(\.text) == ["one", "two", "three"])
        #expect(dead.map(\.code) == ["user_unknown", "recipient_gone", "user_unknown"])
        // What is for the chat, whoever is in it, waits on.
        let waiting = await session.window.held(chat).count
        #expect(waiting == 1)
    }

    @Test func answersThatChangeNothingAreAskedForWithPauses() async throws {
        let room = try Room("alice", "bob")
        let (session, chat) = (try room["alice"].session, room.chat)
        _ = try await session.inside { session, state, _ in
            let refetch = Session.Preparation.refetch([ChatID(7), chat])
            for _ in 0..<Limits.clientFruitlessAnswers {
                let pause = session.pause(before: refetch)
                #expect(pause == nil)
                session.note(.chat(chat), helped: false)
            }
            for _ in 0..<20 {
                let pause = session.pause(before: refetch) ?? .seconds(3600)
                #expect(pause <= Limits.reconnectCeiling)
                session.note(.chat(chat), helped: false)
            }
            // Others are asked at once.
            let others = [session.pause(before: .refetch([ChatID(7)])), session.pause(before: .openChat(recipient: "bob"))]
            #expect(others == [nil, nil])
            session.note(.chat(chat), helped: true)
            let helped = session.pause(before: refetch)
            #expect(helped == nil)
            // So is everything once a message of the chat was taken.
            for _ in 0...Limits.clientFruitlessAnswers { session.note(.chat(chat), helped: false) }
            _ = try state.enqueue("hello", to: "bob", writtenAt: Timestamp(milliseconds: 1))
        }
        _ = try await room.sent(by: "alice")
        #expect(await session.fruitless.isEmpty)
    }
}
