import RelayControl
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayClient

/// A relay that was set back has less than its devices received: they stop and say so, and lose nothing.
@Suite("Cursor ahead") struct CursorAheadTests {
    @Test(.timeLimit(.minutes(10))) func theSessionStopsWithAClearError() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let scratch = try TemporaryDirectory()
        let link = try await relay.chatctl.addUser("alice").invite.link
        _ = try await relay.chatctl.addUser("bob")
        let directory = StateDirectory(scratch.file("alice.phone"))
        let alice = try await TestDevice(name: "alice.phone", link: link, directory: directory)
        try await alice.goOnline()
        try await alice.session.send("before", to: "bob")
        try await alice.session.waitUntilSent(timeout: .seconds(300))
        try await alice.close()

        let end = try advanceCursor(directory)
        try alice.reopen()
        let waiting = try await alice.session.send("after", to: "bob")
        try await alice.start()
        let error = await #expect(throws: ClientError.self) { try await alice.session.waitUntilCaughtUp(timeout: .seconds(300)) }
        guard case .refused(let refusal) = error else {
            Issue.record("ended with \(String(describing: error))")
            return
        }
        #expect(refusal.code == "cursor_ahead")
        #expect(error?.description == "the relay has less than this device received: it was set back to an older state (cursor_ahead)")
        #expect(error?.hint?.contains("ask the operator") == true)
        try await alice.wait(for: "the end of the session") { $0.ended != nil }
        #expect(alice.log.ended == error)
        #expect(try await alice.session.endedBecause == error)

        // It does not connect again, and all that it had is still there.
        let connections = alice.log.connections
        try await alice.start()
        #expect(try await !alice.session.isConnected)
        #expect(alice.log.connections == connections)
        let (cursor, history, outbox) = try await alice.session.read { state throws(ClientError) in
            (try state.cursor(), try state.history().map(\.text), try state.outbox().map(\.id))
        }
        #expect(cursor == end)
        #expect(history == ["before"])
        #expect(outbox == [waiting])
        try await alice.close()
        #expect(await relay.terminate() == .exited(0))
    }

    /// Moves the cursor of a closed device beyond all that its mailbox can hold. Gives where it is now.
    private func advanceCursor(_ directory: StateDirectory) throws -> UInt64 {
        let (state, _, _) = try ClientState.open(directory)
        let end = UInt64(Int64.max)
        try state.transaction { try state.setCursor(end) }
        return end
    }
}
