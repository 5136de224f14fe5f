import NIOCore
import RelayModel
import Testing

@testable import RelayStorage

/// What operators read: as it is, and in pages that together are all of it.
@Suite struct OperatorReadsTests {
    private func act(_ world: World, _ user: UserID, _ action: ContactAction, _ peer: UserID) async throws -> Outcome {
        world.clock.advance(by: .seconds(1))
        return try await world.perform(.contact(ContactCommand(user: user, peer: peer, action: action)))
    }

    @Test func relationsAreShownAsTheyAreAndInPages() async throws {
        // Nobody is told of a block; the operator sees it.
        let world = try await World()
        _ = try await world.perform(.setContactPolicy(ContactPolicy(tellsBlocked: false)))
        var others: [UserID] = []
        for number in 0..<6 { others.append(try await world.addUser("other\(number)", invite: UInt8(50 + number))) }
        let alice = world.alice
        _ = try await act(world, alice, .request, others[0])
        _ = try await act(world, others[1], .request, alice)
        _ = try await act(world, others[2], .request, alice)
        _ = try await act(world, alice, .ignore, others[2])
        _ = try await act(world, alice, .introduce, others[3])
        _ = try await act(world, alice, .block, others[4])
        _ = try await act(world, others[5], .block, alice)
        let expected: [ContactState] = [.requested, .incoming, .ignored, .accepted, .blockedByMe, .blockedByThem]
        for limit in [1, 2, 5, 6, 100] {
            var found: [RelationRow] = []
            while true {
                let page = try await world.store.readers.read { [after = found.last?.peer] in
                    try $0.relations(of: alice, state: nil, after: after, limit: limit)
                }
                found += page
                if page.count < limit { break }
            }
            let strangers = found.filter { $0.peer != world.bob }
            #expect(strangers.map(\.peer) == others)
            #expect(strangers.map { $0.edge.view(tellsBlocked: true) } == expected)
            #expect(strangers.map(\.peerName.text) == others.indices.map { "other\($0)" })
            #expect(strangers.allSatisfy { $0.since != nil && $0.since ?? world.clock.now() <= world.clock.now() })
        }
        for (state, other) in zip(expected, others) {
            let rows = try await world.store.readers.read { try $0.relations(of: alice, state: state, after: nil, limit: 100) }
            #expect(rows.contains { $0.peer == other } && rows.allSatisfy { $0.edge.view(tellsBlocked: true) == state }, "\(state)")
        }
        let (counts, told) = try await world.store.readers.read {
            (try $0.relationCounts(of: alice), try $0.exportedContacts(of: alice, after: nil, limit: 100))
        }
        #expect(counts.filter { $0.key.blocks }.values.reduce(0, +) == 1 && counts.filter { $0.key.isBlocked }.values.reduce(0, +) == 1)
        // The export is for alice, who must not learn from it that she is blocked.
        #expect(!told.contains { $0.contact.peer == others[5] } && told.contains { $0.contact.peer == others[4] })
        await world.store.close()
    }

    @Test func anIntroductionIsOneStepAndHoldsTheLimits() async throws {
        let world = try await World()
        _ = try await world.perform(.setContactPolicy(ContactPolicy()))
        let (alice, carol) = (world.alice, try await world.addUser("carol", invite: 60))
        guard case .contact(let outcome) = try await act(world, alice, .introduce, carol) else { throw World.Failure() }
        #expect(outcome.contact.state == .accepted && outcome.changes.map(\.user) == [alice, carol])
        #expect(outcome.changes.map(\.row.state) == [.accepted, .accepted])
        guard case .contact(let again) = try await act(world, carol, .introduce, alice) else { throw World.Failure() }
        #expect(again.changes.isEmpty)
        _ = try await act(world, carol, .block, alice)
        #expect(rejection(try await act(world, alice, .introduce, carol)) == .contact(.theyBlock))
        #expect(rejection(try await act(world, carol, .introduce, alice)) == .contact(.youBlock))
        #expect(rejection(try await act(world, alice, .introduce, alice)) == .contactWithSelf)
        await world.store.close()
    }

    @Test func blocksComeInPages() async throws {
        let world = try await World()
        var users: [UserID] = []
        for number in 0..<4 { users.append(try await world.addUser("user\(number)", invite: UInt8(70 + number))) }
        for user in users { for peer in users where user != peer { _ = try await act(world, user, user < peer ? .block : .request, peer) } }
        for (limit, scan) in [(1, 100), (2, 1), (4, 3), (100, 2), (100, 100), (6, 6)] {
            var found: [String] = []
            var place: BlockPosition? = .start
            while let after = place {
                let page = try await world.store.readers.read { try $0.blocks(of: nil, after: after, limit: limit, scan: scan) }
                found += page.rows.map { "\($0.user.text) \($0.peer.text)" }
                #expect(page.rows.count <= min(limit, scan))
                place = page.next
            }
            #expect(found == ["user0 user1", "user0 user2", "user0 user3", "user1 user2", "user1 user3", "user2 user3"])
        }
        let one = try await world.store.readers.read { [user = users[1]] in try $0.blocks(of: user, after: .start, limit: 100) }
        #expect(one.rows.map(\.peer.text) == ["user2", "user3"] && one.next == nil)
        await world.store.close()
    }

    @Test func messagesOfAllStaysComeInPages() async throws {
        let world = try await World()
        let (alice, bob) = (world.alice, world.bob)
        for number in 1...7 { _ = try await world.send(UInt64(number)) }
        // A stay of bob's that ended and one that goes on, with something in between that bob never had.
        func change(_ number: UInt64, _ action: GroupAction, _ users: [UserID], in chat: ChatID?) async throws -> SentOutcome {
            let command = ChangeGroup(
                user: alice, device: world.devices[0], chat: chat, clientMessageID: number, action: action, users: users, role: nil,
                body: ByteBuffer(), keys: [])
            guard case .sent(let sent) = try await world.perform(.changeGroup(command)) else { throw World.Failure() }
            return sent
        }
        let group = try await change(8, .create, [bob], in: nil).chat
        _ = try await change(9, .remove, [bob], in: group)
        let carol = try await world.addUser("carol", invite: 80)
        _ = try await change(10, .add, [carol], in: group)
        _ = try await change(11, .add, [bob], in: group)
        _ = try await world.perform(
            .delete(Delete(user: bob, device: world.devices[2], chat: world.chat, clientMessageID: 1, seqs: [3], forEveryone: false)))
        for (limit, chats) in [(1, 1), (3, 2), (100, 1), (100, 3), (100, 100)] {
            var found: [MessageRow] = []
            var place: ChatPosition?
            repeat {
                let page = try await world.store.readers.read { [place] in try $0.messageRows(of: bob, after: place, limit: limit, chats: chats) }
                #expect(page.rows.count <= limit)
                found += page.rows
                place = page.next
            } while place != nil
            let direct = found.filter { $0.chat == world.chat }
            #expect(direct.map(\.seq) == Array(1...7) && direct.map(\.hidden) == [false, false, true, false, false, false, false])
            #expect(direct.allSatisfy { $0.bytes == "ciphertext".utf8.count && $0.senderUser == alice && $0.kind == .message })
            #expect(found.filter { $0.chat == group }.map(\.seq) == [1, 2, 4])
            #expect(found.filter { $0.chat == group }.allSatisfy { $0.kind == .change })
            var stays: [StayRow] = []
            while true {
                let page = try await world.store.readers.read { [last = stays.last] in
                    try $0.stays(of: bob, after: last.map { ChatPosition(chat: $0.chat, seq: $0.joinedSeq) }, limit: limit)
                }
                stays += page
                if page.count < limit { break }
            }
            #expect(stays.filter { $0.chat == group }.map(\.joinedSeq) == [1, 4] && stays.filter { $0.chat == group }.map(\.leftSeq) == [2, nil])
            #expect(stays.first { $0.kind == .direct }?.peer == alice)
        }
        await world.store.close()
    }

    @Test func theAuditIsAboutThisUserAndNotAnEarlierOneOfTheName() async throws {
        let world = try await World()
        func note(_ operation: String, _ subject: String) async throws {
            _ = try await world.store.writer.perform(.auditOnly, actor: Actor(uid: 0, operation: operation, subject: subject))
        }
        try await note("user/suspend", "carol")
        let carol = try await world.addUser("carol", invite: 90)
        let device = try await world.enrol(90)
        try await note("contact/add", "alice carol")
        try await note("contact/add", "alice carola")
        try await note("block/add", "carol bob")
        try await note("device/kick", device.description)
        try await note("device/kick", world.devices[0].description)
        try await note("user/suspend", "alice")
        let row = try #require(try await world.store.readers.read { try $0.user(carol) })
        var found: [String] = []
        var last: UInt64 = 0
        while true {
            let page = try await world.store.readers.read { [last] in try $0.audit(about: row, after: last, limit: 2) }
            found += page.map { "\($0.row.actor.operation) \($0.row.actor.subject)" }
            guard let end = page.last?.stamp, page.count == 2 else { break }
            last = end
        }
        #expect(found == ["contact/add alice carol", "block/add carol bob", "device/kick \(device)"])
        await world.store.close()
    }
}
