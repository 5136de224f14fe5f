import RelayModel
import Testing

@Suite struct ContactTests {
    typealias Relation = ContactEdge.Relation

    static let edges: [ContactEdge] = Relation.allCases.flatMap { relation in
        [(false, false), (true, false), (false, true), (true, true)].map { ContactEdge(relation: relation, blocks: $0.0, isBlocked: $0.1) }
    }

    @Test func theTableHolds() throws {
        func after(_ relation: Relation, _ action: ContactAction) -> Relation? {
            try? ContactEdge(relation: relation).after(action, tellsBlocked: true).relation
        }
        let table: [(Relation, request: Relation?, accept: Relation?, ignore: Relation?)] = [
            (.none, .asked, nil, nil), (.asked, .asked, nil, nil), (.isAsked, .contact, .contact, .ignores),
            (.ignores, .contact, .contact, .ignores), (.isIgnored, .isIgnored, nil, nil), (.contact, .contact, .contact, nil),
        ]
        for row in table {
            #expect(after(row.0, .request) == row.request, "\(row.0)")
            #expect(after(row.0, .accept) == row.accept, "\(row.0)")
            #expect(after(row.0, .ignore) == row.ignore, "\(row.0)")
            #expect(after(row.0, .delete) == Relation.none, "\(row.0)")
        }
    }

    @Test func theOtherSideIsTheMirror() {
        for edge in Self.edges {
            #expect(edge.mirrored.mirrored == edge)
            #expect(edge.passes(everyone: false) == edge.mirrored.passes(everyone: false))
            #expect(edge.passes(everyone: true) == edge.mirrored.passes(everyone: true))
        }
    }

    @Test func aBlockIsAnOverlay() throws {
        for edge in Self.edges where !edge.blocks {
            let blocked = try edge.after(.block, tellsBlocked: true)
            #expect(!blocked.passes(everyone: true))
            #expect(blocked.view(tellsBlocked: true).blocks)
            #expect(try blocked.after(.unblock, tellsBlocked: true) == edge)
        }
    }

    @Test func whoIsNotToldSeesWhatGoesUnanswered() {
        for edge in Self.edges where edge.isBlocked {
            let view = edge.view(tellsBlocked: false)
            #expect(view == (edge.blocks ? .blockedByMe : view))
            #expect(![.blockedByThem, .blockedByBoth, .accepted, .incoming].contains(view))
        }
    }

    /// Whatever two people do in whatever order: a message passes only when the last thing that each of the two said to the other allows it.
    @Test(arguments: [UInt64.random(in: .min ... .max), .random(in: .min ... .max), .random(in: .min ... .max)])
    func nothingPassesThatSomebodyDidNotAgreeTo(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            var edge = ContactEdge()
            // What each side last said: whether they wish to hear from the other, and whether they block.
            var wishes = [false, false]
            var blocks = [false, false]
            let tells = Bool.random(using: &random)
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                let side = Int.random(in: 0...1, using: &random)
                guard let action = ContactAction.allCases.randomElement(using: &random) else { continue }
                let mine = side == 0 ? edge : edge.mirrored
                guard let next = try? mine.after(action, tellsBlocked: tells) else { continue }
                edge = side == 0 ? next : next.mirrored
                switch action {
                case .request, .accept: wishes[side] = true
                case .ignore: wishes[side] = false
                case .block: blocks[side] = true
                case .unblock: blocks[side] = false
                case .delete: wishes = [false, false]
                // The operator speaks for both.
                case .introduce: wishes = [true, true]
                }
                if edge.passes(everyone: false) { #expect(wishes == [true, true] && blocks == [false, false], "seed \(seed)") }
                #expect(edge.blocks == blocks[0] && edge.isBlocked == blocks[1], "seed \(seed)")
                #expect((edge.relation == .contact) == (wishes == [true, true]), "seed \(seed)")
            }
        }
    }
}
