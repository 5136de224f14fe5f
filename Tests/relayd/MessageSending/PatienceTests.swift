import Testing

@testable import RelayMessageSending

@Suite struct PatienceTests {
    @Test(arguments: [(0, 0), (999, 0), (1000, 1), (19_000, 19), (20_000, 20), (100_000, 20)]) func growsWithTheConnections(
        connections: Int, milliseconds: Int
    ) {
        #expect(MessageSending.patience(connections: connections) == .milliseconds(milliseconds))
    }
}
