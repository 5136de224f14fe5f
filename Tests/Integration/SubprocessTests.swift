import RelayTestSupport
import Testing

/// What the tests stand on must not fall over without a word.
@Suite("Programs that tests start") struct SubprocessTests {
    /// Run alone (`--filter SubprocessTests`), before anything has opened a socket, this ended the whole run by SIGPIPE.
    @Test(.timeLimit(.minutes(10))) func oneThatDoesNotReadItsInputEndsNothing() async throws {
        let result = try await Subprocess.run("true", [], input: [UInt8](repeating: 0, count: 1 << 20))
        #expect(result.status == .exited(0))
    }
}
