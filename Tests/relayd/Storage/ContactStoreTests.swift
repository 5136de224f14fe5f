import NIOCore
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

/// Contacts at the store: who may write to whom, and what each device is told.
@Suite struct ContactStoreTests {
    private static let asking = ContactPolicy()

    private func decide(
        _ world: World, _ user: UserID, _ action: ContactAction?, _ peer: UserID, category: String? = nil, basedOn: UInt64? = nil
    ) async throws -> Outcome {
        try await world.perform(.contact(ContactCommand(user: user, peer: peer, action: action, category: category, basedOn: basedOn)))
    }

    /// The row that an accepted decision gave.
    @discardableResult
    private func decided(
        _ world: World, _ user: UserID, _ action: ContactAction?, _ peer: UserID, category: String? = nil, basedOn: UInt64? = nil
    ) async throws -> ContactRow {
        guard case .contact(let outcome) = try await decide(world, user, action, peer, category: category, basedOn: basedOn) else {
            throw World.Failure()
        }
        return outcome.contact
    }

    private func row(_ world: World, _ user: UserID, _ peer: UserID) async throws -> ContactRow? {
        try await world.store.readers.read { try $0.contact(of: user, with: peer) }
    }

    private func page(_ world: World, _ user: UserID, since: UInt64 = 0, after: UInt64 = 0, limit: Int = 100) async throws -> ContactsPage {
        try await world.store.readers.read { try $0.contacts(of: user, since: since, after: after, state: nil, category: nil, limit: limit) }
    }

    @Test func nothingPassesBeforeBothWant() async throws {
        let world = try await World(policy: Self.asking)
        let (alice, bob) = (world.alice, world.bob)
        #expect(rejection(try await world.perform(.openChat(alice, bob))) == .notContact(.none, version: 0))
        try await decided(world, alice, .request, bob)
        guard case .notContact(.requested, _)? = rejection(try await world.perform(.openChat(alice, bob))) else { throw World.Failure() }
        guard case .notContact(.incoming, _)? = rejection(try await world.perform(.openChat(bob, alice))) else { throw World.Failure() }
        #expect(rejection(try await decide(world, alice, .accept, bob)) == .contact(.noRequest))
        try await decided(world, bob, .accept, alice)
        world.chat = try await world.openChat()
        _ = try await world.send(1)
        // In the order of the commands: what comes behind the block does not pass, and passes again behind its end.
        let block = try await decided(world, bob, .block, alice)
        #expect(block.state == .blockedByMe)
        let told = try #require(try await row(world, alice, bob))
        #expect(rejection(try await world.perform(.send(world.message(2)))) == .notContact(.blockedByThem, version: told.version))
        #expect(rejection(try await decide(world, alice, .request, bob)) == .contact(.theyBlock))
        try await decided(world, bob, .unblock, alice)
        _ = try await world.send(2)
        try await decided(world, alice, .delete, bob)
        #expect(
            rejection(try await world.perform(.send(world.message(3)))) == .notContact(.none, version: try await row(world, alice, bob)?.version ?? 0)
        )
    }

    /// What one wrote can be taken away from somebody who blocks; that it is gone already is not told again and again.
    @Test func deletingDoesNotGetAroundABlock() async throws {
        let world = try await World()
        let (alice, bob) = (world.alice, world.bob)
        _ = try await world.send(1)
        try await decided(world, bob, .block, alice)
        func delete(_ number: UInt64) async throws -> Outcome {
            try await world.perform(
                .delete(Delete(user: alice, device: world.devices[0], chat: world.chat, clientMessageID: number, seqs: [1], forEveryone: true)))
        }
        guard case .sent = try await delete(2) else { throw World.Failure() }
        guard case .notContact(.blockedByThem, _)? = rejection(try await delete(3)) else { throw World.Failure() }
    }

    @Test func theRelayKnowsItAfterARestart() async throws {
        let world = try await World(policy: Self.asking)
        try await decided(world, world.alice, .request, world.bob)
        try await decided(world, world.bob, .request, world.alice)
        world.chat = try await world.openChat()
        try await decided(world, world.bob, .block, world.alice)
        await world.store.close()
        let reopened = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        guard case .notContact(.blockedByThem, _)? = rejection(try await reopened.writer.perform(.send(world.message(1)))) else {
            throw World.Failure()
        }
        await reopened.close()
    }

    @Test func whoIsNotToldIsNotTold() async throws {
        let world = try await World(policy: ContactPolicy(tellsBlocked: false))
        let (alice, bob) = (world.alice, world.bob)
        // A stranger's block.
        try await decided(world, bob, .block, alice)
        #expect(try await page(world, alice).rows.isEmpty)
        let asked = try await decided(world, alice, .request, bob)
        #expect(asked.state == .requested)
        let before = try await page(world, alice).version
        try await decided(world, bob, .unblock, alice)
        // Nothing that alice is told has changed.
        #expect(try await page(world, alice, since: before).rows.isEmpty)
        #expect(try await row(world, bob, alice)?.state == .incoming)
    }

    /// What a device has seen is not what it would be told now.
    @Test(arguments: [true, false]) func anotherPolicyListsEverythingAgain(tells: Bool) async throws {
        let world = try await World(policy: ContactPolicy(tellsBlocked: !tells))
        let (alice, bob) = (world.alice, world.bob)
        let carol = try await world.addUser("carol", invite: 9)
        try await decided(world, alice, .request, carol)
        try await decided(world, carol, .accept, alice)
        try await decided(world, bob, .block, alice)
        #expect(try await row(world, alice, bob)?.state ?? .none == (tells ? .none : .blockedByThem))
        let before = try await page(world, alice).version
        _ = try await world.perform(.setContactPolicy(ContactPolicy(tellsBlocked: tells)))
        let all = try await page(world, alice, since: before)
        #expect(!all.isDelta && all.rows.map(\.state) == (tells ? [.blockedByThem, .accepted] : [.accepted]))
        // Once.
        #expect(try await page(world, alice, since: all.version).isDelta)
    }

    @Test func decisionsOfSeveralDevicesMergeOrConflict() async throws {
        let world = try await World(policy: Self.asking)
        let (alice, bob) = (world.alice, world.bob)
        let first = try await decided(world, alice, .request, bob, basedOn: 0)
        try await decided(world, bob, .accept, alice)
        // Another device did not see the request, and wants the same: nothing contradicts.
        try await decided(world, alice, .request, bob, basedOn: 0)
        // bob's answer was not alice's decision: what was based on the request is as good as new.
        let blocked = try await decided(world, alice, .block, bob, basedOn: first.version)
        let unblocked = try await decided(world, alice, .unblock, bob, basedOn: blocked.version)
        // Figure 14.3: a device that saw neither blocks.
        guard case .contactConflict(let now) = try await decide(world, alice, .block, bob, basedOn: first.version) else { throw World.Failure() }
        #expect(now.state == .accepted && now.version == unblocked.version)
        #expect(try await row(world, alice, bob)?.state == .accepted)
        // Confirmed by the person.
        #expect(try await decided(world, alice, .block, bob, basedOn: now.version).state == .blockedByMe)
        // A device that repeats the block is told that it holds; one that did not hear of that cannot lift it.
        let repeated = try await decided(world, alice, .block, bob, basedOn: first.version)
        guard case .contactConflict(let held) = try await decide(world, alice, .unblock, bob, basedOn: now.version) else { throw World.Failure() }
        #expect(held.state == .blockedByMe && held.version == repeated.version)
        // A label is no decision: it neither conflicts nor makes others conflict.
        let labelled = try await decided(world, alice, nil, bob, category: "work", basedOn: 0)
        #expect(labelled.category == "work" && labelled.state == .blockedByMe)
        let seen = try await page(world, alice).rows
        #expect(seen.map(\.state) == [.blockedByMe])
    }

    @Test func whatChangedSinceAVersionIsListed() async throws {
        let world = try await World(policy: Self.asking)
        let (alice, bob) = (world.alice, world.bob)
        let carol = try await world.addUser("carol", invite: 9)
        try await decided(world, alice, .request, bob)
        try await decided(world, alice, .request, carol)
        let all = try await page(world, alice, limit: 1)
        #expect(all.rows.map(\.peer) == [bob] && !all.isDelta && all.next > 0)
        let rest = try await page(world, alice, after: all.next, limit: 1)
        #expect(rest.rows.map(\.peer) == [carol])
        let version = rest.version
        try await decided(world, bob, .accept, alice)
        try await decided(world, alice, .delete, carol)
        let delta = try await page(world, alice, since: version)
        #expect(delta.isDelta)
        #expect(delta.rows.map(\.peer) == [bob, carol] && delta.rows.map(\.state) == [.accepted, .none])
        #expect(try await page(world, alice).rows.map(\.peer) == [bob])
    }

    @Test func aRemovedUserIsNobodysContact() async throws {
        let world = try await World(policy: Self.asking)
        try await decided(world, world.alice, .request, world.bob)
        try await decided(world, world.bob, .accept, world.alice)
        let version = try await page(world, world.alice).version
        let devices = try await world.store.readers.read { [bob = world.bob] in try $0.devices(of: bob).map(\.id) }
        guard case .userGone(let gone) = try await world.perform(.removeUser(world.bob)) else { throw World.Failure() }
        #expect(gone.contacts.map(\.user) == [world.alice] && gone.contacts.map(\.row.state) == [.none] && gone.user == world.bob)
        #expect(!gone.devices.isEmpty && gone.devices == devices)
        #expect(try await page(world, world.alice, since: version).rows.map(\.state) == [.none])
        #expect(try await page(world, world.bob).rows.isEmpty)
    }

    @Test(arguments: [true, false]) func aBlockTakesOneOutOfSharedGroups(leaves: Bool) async throws {
        let world = try await World(policy: ContactPolicy(everyone: true, leavesGroups: leaves))
        let (alice, bob) = (world.alice, world.bob)
        let carol = try await world.addUser("carol", invite: 9)
        func create(_ number: UInt64, _ users: [UserID]) async throws -> Outcome {
            try await world.perform(
                .changeGroup(
                    ChangeGroup(
                        user: alice, device: world.devices[0], chat: nil, clientMessageID: number, action: .create, users: users.sorted(), role: nil,
                        body: ByteBuffer(), keys: [])))
        }
        for number in 1...3 as ClosedRange<UInt64> {
            guard case .sent = try await create(number, [bob, carol]) else { throw World.Failure() }
        }
        guard case .contact(let outcome) = try await decide(world, bob, .block, alice) else { throw World.Failure() }
        #expect(outcome.publications.count == (leaves ? 3 : 0))
        for publication in outcome.publications {
            guard case .group(let event)? = publication.envelope.extra else { throw World.Failure() }
            #expect(event.action == .leave && event.users == [bob] && publication.audience == [alice, bob, carol].sorted())
        }
        // Each has its own place in the mailboxes.
        #expect(Set(outcome.publications.map(\.envelope.mailboxSeq)).count == outcome.publications.count)
        // And nobody brings the two together again.
        #expect(rejection(try await create(4, [bob, carol])) == .notContacts([bob]))
        guard case .inviteAdded = try await world.perform(.addInvite(AddInvite(user: carol, hash: [77], expires: world.clock.now() + .seconds(60))))
        else { throw World.Failure() }
        let phone = try await world.enrol(77)
        let together = try await world.perform(
            .changeGroup(
                ChangeGroup(
                    user: carol, device: phone, chat: nil, clientMessageID: 1, action: .create, users: [alice, bob].sorted(), role: nil,
                    body: ByteBuffer(), keys: [])))
        if leaves { #expect(rejection(together) == .memberBlocked) } else if case .sent = together {} else { Issue.record("\(together)") }
    }

    @Test func onlyContactsAreBroughtIntoGroups() async throws {
        let world = try await World(policy: Self.asking)
        let create = Command.changeGroup(
            ChangeGroup(
                user: world.alice, device: world.devices[0], chat: nil, clientMessageID: 1, action: .create, users: [world.bob], role: nil,
                body: ByteBuffer(), keys: []))
        #expect(rejection(try await world.perform(create)) == .notContacts([world.bob]))
        try await decided(world, world.alice, .request, world.bob)
        try await decided(world, world.bob, .accept, world.alice)
        guard case .sent = try await world.perform(create) else { throw World.Failure() }
    }

    /// What two users' devices do in any order gives what the pure machine gives, a message passes exactly then, and the same commands give the
    /// same tables.
    @Test(arguments: [UInt64.random(in: .min ... .max), .random(in: .min ... .max)]) func anyOrderIsExplained(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let world = try await World(record: true, policy: ContactPolicy(tellsBlocked: seed % 2 == 0))
        let (alice, bob) = (world.alice, world.bob)
        let tells = seed % 2 == 0
        var edge = ContactEdge()
        var chat: ChatID?
        var number: UInt64 = 0
        for step in 1...150 {
            let byAlice = Bool.random(using: &random)
            if let action = ContactAction.allCases.randomElement(using: &random) {
                let mine = byAlice ? edge : edge.mirrored
                let outcome = try await decide(world, byAlice ? alice : bob, action, byAlice ? bob : alice)
                do throws(ContactRefusal) {
                    let next = try mine.after(action, tellsBlocked: tells)
                    edge = byAlice ? next : next.mirrored
                    guard case .contact = outcome else {
                        Issue.record("seed \(seed), step \(step): \(outcome)")
                        return
                    }
                } catch {
                    #expect(rejection(outcome) == .contact(error), "seed \(seed), step \(step)")
                }
            }
            for (user, peer, side) in [(alice, bob, edge), (bob, alice, edge.mirrored)] {
                #expect(try await row(world, user, peer)?.state ?? .none == side.view(tellsBlocked: tells), "seed \(seed), step \(step)")
            }
            if chat == nil, edge.passes(everyone: false) {
                chat = try await world.openChat()
                world.chat = chat ?? world.chat
            }
            guard chat != nil else { continue }
            number += 1
            let outcome = try await world.perform(.send(world.message(number)))
            if case .sent = outcome {
                #expect(edge.passes(everyone: false), "seed \(seed), step \(step)")
            } else {
                #expect(!edge.passes(everyone: false), "seed \(seed), step \(step): \(outcome)")
                number -= 1
            }
        }
        await world.store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: world.directory.file("record"), toStoreAt: copy, batch: 7)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")), "seed \(seed)")
    }
}
