import RelayModel
import Testing

/// An operator introduces two users: both are contacts then, wherever they stood, unless one blocks the other.
@Suite struct ContactIntroductionTests {
    @Test(arguments: ContactEdge.Relation.allCases, [false, true])
    func whoeverStoodHowever(relation: ContactEdge.Relation, tellsBlocked: Bool) throws {
        let met = try ContactEdge(relation: relation).after(.introduce, tellsBlocked: tellsBlocked)
        #expect(met == ContactEdge(relation: .contact) && met.mirrored == met && met.passes(everyone: false))
        for (blocks, isBlocked, refusal) in [(true, false, ContactRefusal.youBlock), (false, true, .theyBlock), (true, true, .youBlock)] {
            let edge = ContactEdge(relation: relation, blocks: blocks, isBlocked: isBlocked)
            // The policy of not telling is about users.
            #expect(throws: refusal) { try edge.after(.introduce, tellsBlocked: tellsBlocked) }
        }
    }
}
