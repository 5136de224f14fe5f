import NIOHTTP1
import RelayHTTP
import RelayModel
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayGateway

/// Eight devices decide about the same contact at the same time, over real sockets. What they are told must be what one order of all decisions
/// gives, and that order must respect who was answered before whom.
@Suite struct ContactRaceTests {
    /// One decision and what became of it.
    private struct Decision {
        /// Of the two users, the first one.
        var byFirst: Bool
        var action: ContactAction
        /// Nil: whatever it is.
        var basedOn: UInt64?
        var start: ContinuousClock.Instant
        var end: ContinuousClock.Instant
        var answer: Answer
    }

    private enum Answer: Equatable {
        case done(ContactState, version: UInt64)
        case conflict(ContactState, version: UInt64)
        case refused(String)
    }

    /// What the relay must keep: the pure machine, and when either side last decided and last saw a change.
    private struct Model {
        /// From the first user's side.
        var edge = ContactEdge()
        var decided: [Bool: UInt64] = [true: 0, false: 0]
        var versions: [Bool: UInt64] = [true: 0, false: 0]

        /// What a decision is told now. A decision that changes something has the given version as its own.
        mutating func apply(_ decision: Decision, version: UInt64) -> Answer {
            let mine = decision.byFirst ? edge : edge.mirrored
            let state = mine.view(tellsBlocked: true)
            let (me, other) = (decision.byFirst, !decision.byFirst)
            let knew = decision.basedOn.map { $0 >= decided[me, default: 0] } ?? true
            let after: ContactEdge
            do throws(ContactRefusal) {
                after = try mine.after(decision.action, tellsBlocked: true)
            } catch {
                return knew ? .refused(Model.code(error)) : .conflict(state, version: versions[me, default: 0])
            }
            guard knew || after == mine else { return .conflict(state, version: versions[me, default: 0]) }
            guard after != mine || decision.action == .block || decision.action == .unblock else {
                return .done(state, version: versions[me, default: 0])
            }
            if after.mirrored.view(tellsBlocked: true) != mine.mirrored.view(tellsBlocked: true) { versions[other] = version }
            versions[me] = version
            decided[me] = version
            edge = decision.byFirst ? after : after.mirrored
            return .done(after.view(tellsBlocked: true), version: version)
        }

        private static func code(_ refusal: ContactRefusal) -> String {
            switch refusal {
            case .noRequest: "request_unknown"
            case .alreadyAccepted: "already_contact"
            case .youBlock: "you_block"
            case .theyBlock: "blocked"
            }
        }

        /// Puts the decisions in an order that explains every answer; gives those that are left over where the furthest attempt ended.
        static func unexplained(_ decisions: [Decision]) -> [Decision] { Model().unexplained(decisions, newest: 0) }

        private func unexplained(_ decisions: [Decision], newest: UInt64) -> [Decision] {
            var rest = decisions
            func fitting(_ decision: Decision, _ version: UInt64) -> Model? {
                // Who was answered before another one asked comes before it.
                guard rest.allSatisfy({ decision.start <= $0.end }) else { return nil }
                var next = self
                return next.apply(decision, version: version) == decision.answer ? next : nil
            }
            // What changes nothing is explained as early as it can be; that takes no place from anything else.
            while let index = rest.firstIndex(where: { fitting($0, 0) != nil }) { rest.remove(at: index) }
            guard !rest.isEmpty else { return [] }
            // What changes something comes in the order of the versions; what changed nothing may name the same one afterwards.
            let version = rest.compactMap { decision -> UInt64? in
                guard case .done(_, let version) = decision.answer, version > newest else { return nil }
                return version
            }.min()
            guard let version else { return rest }
            var least = rest
            for index in rest.indices {
                guard case .done(_, version) = rest[index].answer, let next = fitting(rest[index], version) else { continue }
                var others = rest
                others.remove(at: index)
                let left = next.unexplained(others, newest: version)
                if left.isEmpty { return [] }
                if left.count < least.count { least = left }
            }
            return least
        }
    }

    private struct Racer {
        var device: RunningGateway.Device
        var other: UserID
        var isFirst: Bool

        /// Decides so many things, each with the version that this device saw last, or with none.
        func run(_ relay: RunningGateway, decisions: Int, seed: UInt64) async throws -> [Decision] {
            var random = SeededGenerator(seed: seed)
            var made: [Decision] = []
            var known: UInt64 = 0
            let path = "/v1/connection/user/\(device.user)/recipient/\(other)"
            for _ in 0..<decisions {
                let action = [ContactAction.request, .accept, .ignore, .block, .unblock, .delete].randomElement(using: &random) ?? .block
                let basedOn: UInt64? = UInt8.random(in: 0..<4, using: &random) == 0 ? nil : known
                let (method, rest): (HTTPMethod, String) =
                    switch action {
                    case .accept: (.PUT, "/request/true")
                    case .ignore: (.PUT, "/request/false")
                    case .block: (.PUT, "/block/true")
                    case .unblock: (.PUT, "/block/false")
                    case .delete: (.DELETE, "")
                    case .request, .introduce: (.POST, "")
                    }
                let start = ContinuousClock.now
                let reply = try await relay.http.request(
                    method, path + rest,
                    headers: [("Authorization", "Bearer \(device.token)"), ("If-Match", basedOn.map { "\"\($0)\"" } ?? "*")])
                let end = ContinuousClock.now
                let answer: Answer
                if reply.status < 300 {
                    answer = try Racer.answer(Relay_V1_Contact(jsonUTF8Bytes: reply.body), Answer.done)
                } else {
                    let error = try Relay_V1_Error(jsonUTF8Bytes: reply.body)
                    answer = error.code == "contact_conflict" ? try Racer.answer(error.contact, Answer.conflict) : .refused(error.code)
                }
                switch answer {
                case .done(_, let version), .conflict(_, let version): known = version
                case .refused: break
                }
                made.append(Decision(byFirst: isFirst, action: action, basedOn: basedOn, start: start, end: end, answer: answer))
            }
            return made
        }

        private static func answer(_ contact: Relay_V1_Contact, _ make: (ContactState, UInt64) -> Answer) throws -> Answer {
            make(try #require(UInt8(exactly: contact.state.rawValue).flatMap(ContactState.init)), contact.version)
        }
    }

    @Test(.timeLimit(.minutes(10)), arguments: [UInt64.random(in: .min ... .max), .random(in: .min ... .max)])
    func oneOrderExplainsWhatEightDevicesAreTold(seed: UInt64) async throws {
        try await RunningGateway.run(.asking) { relay, _ in
            let (alice, bob) = (try await relay.addUser("alice"), try await relay.addUser("bob"))
            var racers = [Racer(device: alice, other: bob.user, isFirst: true), Racer(device: bob, other: alice.user, isFirst: false)]
            for _ in 0..<3 {
                racers.append(Racer(device: try await relay.secondDevice(of: "alice"), other: bob.user, isFirst: true))
                racers.append(Racer(device: try await relay.secondDevice(of: "bob"), other: alice.user, isFirst: false))
            }
            let decisions = try await withThrowingTaskGroup(of: [Decision].self) { group in
                for (number, racer) in racers.enumerated() {
                    group.addTask { try await racer.run(relay, decisions: 25, seed: seed &+ UInt64(number)) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(decisions.count == 200)
            let unexplained = Model.unexplained(decisions)
            #expect(unexplained.isEmpty, "seed \(seed): of \(decisions.count) decisions no order explains \(unexplained.prefix(3))")
            // They did race: some changed something, some met what another device had decided.
            #expect(decisions.contains { if case .conflict = $0.answer { true } else { false } }, "seed \(seed)")
        }
    }

    /// The judge finds what cannot be.
    @Test func whatNoOrderExplainsIsFound() {
        let now = ContinuousClock.now
        func decision(_ byFirst: Bool, _ action: ContactAction, _ second: Int, _ answer: Answer) -> Decision {
            Decision(
                byFirst: byFirst, action: action, basedOn: nil, start: now + .seconds(second), end: now + .seconds(second) + .milliseconds(500),
                answer: answer)
        }
        let asked = decision(true, .request, 0, .done(.requested, version: 5))
        let accepted = decision(false, .accept, 1, .done(.accepted, version: 6))
        #expect(Model.unexplained([accepted, asked]).isEmpty)
        // Accepted before it was asked; a request that was not refused although there was a block; the same version twice.
        #expect(!Model.unexplained([decision(false, .accept, -1, .done(.accepted, version: 6)), asked]).isEmpty)
        #expect(
            !Model.unexplained([
                decision(false, .block, 0, .done(.blockedByMe, version: 4)), decision(true, .request, 1, .done(.requested, version: 5)),
            ]).isEmpty)
        #expect(!Model.unexplained([asked, decision(false, .accept, 1, .done(.accepted, version: 5))]).isEmpty)
    }
}
