import Foundation
import RelayCrypto
import RelayModel
import RelaySQLite
import Testing

@testable import RelayClient

/// Contacts and decisions in a client's state, without a relay.
@Suite struct ContactStateTests {
    let scratch: Scratch
    let state: ClientState
    let bob = UserID(2)

    init() throws {
        scratch = try Scratch()
        (state, _) = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy())
        try state.completeEnrolment(user: UserID(1), name: "alice", device: DeviceID(11))
    }

    private func relay(_ contactState: ContactState, _ version: UInt64, category: String = "", name: String = "bob") throws {
        try state.transaction {
            _ = try state.store(RelayContact(user: bob, state: contactState, category: category, version: version), name: name)
        }
    }

    @discardableResult
    private func decide(_ action: ContactAction?, category: String? = nil, about name: String = "bob") throws -> Int64 {
        try state.transaction { try state.enqueueDecision(action, about: name, category: category, at: Timestamp(milliseconds: 5)) }
    }

    private func next() throws -> ContactDecision? { try state.transaction { try state.nextDecision() } }

    // MARK: What the relay says

    @Test func olderNewsChangesNothing() throws {
        try relay(.accepted, 10, category: "work")
        try relay(.incoming, 9)
        let contact = try #require(try state.contact(named: "bob"))
        #expect(contact.state == .accepted && contact.category == "work" && contact.version == 10)
        // A push says no name.
        try relay(.blockedByThem, 11, name: "")
        #expect(try state.contact(named: "bob")?.state == .blockedByThem)
    }

    @Test func strangersAreNotKept() throws {
        try relay(.none, 10)
        #expect(try state.contacts().isEmpty)
    }

    @Test func theWholeListReplacesWhatIsHereUpToItsVersion() throws {
        try relay(.accepted, 10)
        try state.transaction {
            try state.store(RelayContact(user: UserID(3), state: .accepted, category: "", version: 30), name: "carol")
            try state.keepContacts(only: [], upTo: 20)
        }
        #expect(try state.contacts().map(\.name) == ["carol"])
    }

    @Test func theVersionOnlyRises() throws {
        try state.transaction {
            try state.setContactsVersion(9)
            try state.setContactsVersion(3)
        }
        #expect(try state.contactsVersion() == 9)
    }

    // MARK: Decisions

    @Test(arguments: [
        (ContactState.none, [ContactAction.request], ContactState.requested), (.incoming, [.request], .accepted), (.incoming, [.accept], .accepted),
        (.ignored, [.accept], .accepted), (.incoming, [.ignore], .ignored), (.accepted, [.block], .blockedByMe), (.none, [.block], .blockedByMe),
        (.blockedByThem, [.block], .blockedByBoth), (.blockedByBoth, [.unblock], .blockedByThem), (.accepted, [.block, .unblock], .accepted),
        (.accepted, [.delete], .none), (.accepted, [.block, .delete], .blockedByMe), (.accepted, [.block, .delete, .unblock], .none),
        (.none, [.accept], .none), (.requested, [.request], .requested),
    ])
    func whatIsDecidedShowsAtOnce(before: ContactState, actions: [ContactAction], after: ContactState) throws {
        try relay(before == .none ? .requested : before, 9)
        if before == .none { try relay(.none, 10) }
        for action in actions { try decide(action) }
        let contact = try #require(try state.contact(named: "bob"))
        #expect(contact.state == after)
        #expect(contact.blocks == after.blocks)
        #expect(contact.relayState == before)
    }

    @Test func aBlockOfAStrangerHolds() throws {
        try decide(.block)
        #expect(try state.contact(named: "bob")?.blocks == true)
        #expect(try state.contacts().map(\.name) == ["bob"])
        // Somebody who was met in a group is known by name only.
        let holds = try state.transaction {
            try state.store(user: bob, name: "bob", displayName: "", devices: [])
            return try state.blocks(bob)
        }
        #expect(holds)
    }

    @Test func theFirstStandsOnWhatIsKnownAndTheOthersOnItsReply() throws {
        try relay(.accepted, 10)
        try state.transaction { try state.setContactsVersion(15) }
        try decide(.block)
        try decide(.unblock)
        try decide(.block, about: "carol")
        // What comes from elsewhere does not move what the decision was made on.
        try relay(.blockedByThem, 20)
        let first = try #require(try next())
        #expect(first.action == .block && first.basedOn == 15)
        #expect(try state.decision(2)?.basedOn == nil)
        try state.transaction { try state.decided(first, RelayContact(user: bob, state: .blockedByBoth, category: "", version: 21)) }
        let second = try #require(try next())
        #expect(second.action == .unblock && second.basedOn == 21)
        // A decision that is refused leaves its place to the next.
        try state.transaction { try state.dropDecision(second) }
        #expect(try next()?.name == "carol")
        #expect(try next()?.basedOn == 15)
        #expect(try state.contact(named: "bob")?.state == .blockedByBoth)
    }

    @Test func aRefusedDecisionPassesItsBaseOn() throws {
        try relay(.accepted, 10)
        try decide(.accept)
        try decide(.block)
        let first = try #require(try next())
        try state.transaction { try state.dropDecision(first) }
        #expect(try next()?.basedOn == 10)
    }

    @Test func aConflictWaitsForThePersonWithAllBehindIt() throws {
        try relay(.accepted, 10)
        try decide(.block)
        try decide(nil, category: "work")
        try decide(.accept, about: "carol")
        let first = try #require(try next())
        try state.transaction { try state.markConflict(first, RelayContact(user: bob, state: .none, category: "", version: 30)) }
        #expect(try next()?.name == "carol")
        let contact = try #require(try state.contact(named: "bob"))
        #expect(contact.isInConflict && contact.state == .none && contact.wanted == .blockedByMe)
        #expect(contact.blocks, "until it is resolved the block holds here")
        let ids = try state.transaction { try state.resolve("bob", .mine) }
        #expect(ids == [1, 2])
        let again = try #require(try next())
        #expect(again.id == 1 && again.basedOn == 30 && !again.isInConflict)
        #expect(try state.decision(2)?.basedOn == nil)
        try state.transaction { try state.markConflict(again, nil) }
        try state.transaction { _ = try state.resolve("bob", .relay) }
        #expect(try state.contact(named: "bob")?.decisions == [])
        #expect(try state.contact(named: "bob")?.blocks == false)
    }

    /// Both sides of a conflict count as long as it is open.
    @Test func aConflictAboutAnUnblockKeepsTheBlock() throws {
        try relay(.accepted, 9)
        try relay(.blockedByMe, 10)
        try decide(.unblock)
        let first = try #require(try next())
        try state.transaction { try state.markConflict(first, RelayContact(user: bob, state: .blockedByMe, category: "", version: 30)) }
        let contact = try #require(try state.contact(named: "bob"))
        #expect(contact.wanted == .accepted && contact.blocks)
    }

    @Test func aNamePassesToAnotherUser() throws {
        try relay(.accepted, 10)
        try relay(.none, 11)
        _ = try state.transaction { try state.store(RelayContact(user: UserID(9), state: .incoming, category: "", version: 12), name: "bob") }
        #expect(try state.contact(named: "bob")?.user == UserID(9))
        #expect(try state.contact(named: "bob")?.state == .incoming)
        try decide(.block)
        #expect(try state.contacts().map(\.user) == [UserID(9)])
        #expect(try state.contacts().map(\.state) == [.blockedByMe])
    }

    // MARK: Hidden messages

    @Test func whatIsHiddenHasItsPlaceAndIsNotShown() throws {
        try state.transaction {
            for seq in UInt64(1)...2 {
                var entry = HistoryEntry(
                    chat: ChatID(5), chatSeq: seq, message: MessageID(100 + seq), senderUser: bob, senderDevice: DeviceID(21), clientMessageID: seq,
                    sentAt: Timestamp(milliseconds: 5), text: "text \(seq)")
                entry.hidden = seq == 1
                _ = try state.storeReceived(entry, mailboxSeq: 100 + seq)
            }
        }
        #expect(try state.history().map(\.text) == ["text 2"])
        #expect(try state.history(hidden: true).map(\.hidden) == [true, false])
        #expect(try state.gapRecords().isEmpty)
        #expect(try state.chats().map(\.messages) == [1])
    }

    @Test func anEarlierStateIsBroughtUpToDate() throws {
        let path = scratch.path + "/old.db"
        let old = try Database(path: path, access: .readWriteCreate)
        for migration in StateSchema.migrations.prefix(2) { try old.execute(migration) }
        try old.execute("PRAGMA user_version = 2")
        try old.execute("INSERT INTO history VALUES (5, 1, 101, 2, 21, 1, 5, 5, 'kept', NULL, NULL, 0, NULL)")
        try StateSchema.migrate(old, path: path)
        #expect(try old.integer("SELECT count(*) FROM history WHERE hidden = 0 AND text = 'kept'") == 1)
        #expect(try old.integer("PRAGMA user_version") == Int64(StateSchema.migrations.count))
    }
}
