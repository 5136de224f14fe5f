import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

@Suite struct PeopleReplayTests {
    /// The noise is in the command: the same commands publish the same figures.
    @Test func theSameCommandsPublishTheSame() async throws {
        let world = try await World(record: true)
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let metric = PeopleMetric.allCases.randomElement(using: &random) ?? .activeUsers
            let start = metric.period.start(of: Int.random(in: 20_000..<20_010, using: &random))
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let key = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) }
                let opening = PeopleOpening(
                    metric: metric, start: start,
                    parameters: PeopleParameters(clamp: Int.random(in: 1...9, using: &random), epsilonThousandths: 500), threshold: 2,
                    minimumUsers: 50,
                    key: key)
                _ = try await world.perform(.openPeople([opening]))
            case 1, 2:
                func person() -> PeoplePerson {
                    PeoplePerson(metric: metric, start: start, person: [UInt8](repeating: UInt8.random(in: 0..<5, using: &random), count: 16))
                }
                let counts = (0..<Int.random(in: 0..<6, using: &random)).map { _ in
                    PeopleCount(person: person(), part: metric == .activeDevices ? [UInt8.random(in: 0..<9, using: &random)] : [], count: 3)
                }
                let forgotten = Bool.random(using: &random) ? [person()] : []
                _ = try await world.perform(.countPeople(PeopleCounts(counts: counts, forgotten: forgotten)))
            default:
                let close = PeopleClose(
                    metric: metric, start: start, noise: Int64.random(in: -20...20, using: &random),
                    gateNoise: Int64.random(in: -20...100, using: &random), algorithm: 1)
                _ = try await world.perform(.closePeople(close))
            }
        }
        await world.store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: world.directory.file("record"), toStoreAt: copy, batch: 7)
        let tables = try StoreDump.tables(ofStoreAt: copy)
        #expect(try tables == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")), "seed \(seed)")
        #expect(tables["people_releases"]?.isEmpty == false && tables["people_gates"]?.isEmpty == false, "seed \(seed)")
    }
}
