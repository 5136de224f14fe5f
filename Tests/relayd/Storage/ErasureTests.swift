import NIOCore
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage

/// Erasing a user at the store: who is out when, what goes, what stays, and that a crash in between loses nothing.
@Suite struct ErasureTests {
    private func fingerprint(_ world: World, _ user: UserID, grace: Duration = .zero) async throws -> UInt64 {
        try await world.store.readers.read { try $0.erasureFingerprint(of: user, grace: grace) }
    }

    private func erase(_ world: World, _ user: UserID, grace: Duration = .zero) async throws -> Outcome {
        let print = try await fingerprint(world, user, grace: grace)
        let actor = Actor(uid: 7, operation: "user/erase/apply", subject: "alice", reason: "asked by letter")
        return try await world.store.writer.perform(
            .eraseUser(EraseUser(user: user, fingerprint: print, grace: grace, uid: 7)), actor: actor)
    }

    /// Every row in which a user's number stands, by table: as a number, or as the eight bytes of one.
    static func rows(naming user: UserID, in path: String) throws -> [String: [String]] {
        let digits = String(user.rawValue, radix: 16, uppercase: true)
        let bytes = String(repeating: "0", count: 16 - digits.count) + digits
        return try StoreDump.tables(ofStoreAt: path).compactMapValues { rows in
            let found = rows.filter { $0.contains(user.description) || $0.contains(bytes) }
            return found.isEmpty ? nil : found
        }
    }

    @Test func inTheGraceTheUserIsOutAndNothingIsLost() async throws {
        let world = try await World()
        let sent = try await world.send(1)
        guard case .erasureAsked(let due) = try await erase(world, world.alice, grace: .seconds(3600)) else { throw World.Failure() }
        #expect(due == world.clock.now() + .seconds(3600))
        #expect(rejection(try await world.perform(.send(world.message(2)))) == .userSuspended)
        _ = try await world.perform(.addInvite(AddInvite(user: world.alice, hash: [9], expires: world.clock.now() + .seconds(60))))
        #expect(rejection(try await world.tryToEnrol(9)) == .userSuspended)
        // Another way out, or back in, would leave one of the two behind.
        #expect(rejection(try await world.perform(.resumeUser(world.alice))) == .erasurePending(until: due))
        #expect(rejection(try await world.perform(.removeUser(world.alice))) == .erasurePending(until: due))
        #expect(rejection(try await world.perform(.beginErasure(world.alice))) == .erasurePending(until: due))
        #expect(rejection(try await world.perform(.finishErasure(world.alice))) == .erasureUnknown)
        #expect(rejection(try await world.perform(.clearUser(world.alice, limit: 10))) == .userUnknown)
        #expect(rejection(try await world.perform(.cancelErasure(world.bob))) == .erasureUnknown)
        let (pending, suspended) = try await world.store.readers.read { (try $0.erasures(limit: 10), try $0.exceptionalUsers().suspended) }
        #expect(pending.map(\.user) == [world.alice] && pending.first?.due == due && pending.first?.hasBegun == false && suspended == [world.alice])

        // It holds after a restart, with nothing in memory.
        await world.store.close()
        let store = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        #expect(rejection(try await store.writer.perform(.send(world.message(2)))) == .userSuspended)
        guard case .erasureCancelled(suspended: false) = try await store.writer.perform(.cancelErasure(world.alice)) else { throw World.Failure() }
        guard case .sent(let next) = try await store.writer.perform(.send(world.message(2))) else { throw World.Failure() }
        #expect(next.chatSeq == sent.chatSeq + 1)
        let alice = world.alice
        #expect(try await store.readers.read { try $0.mailbox(of: alice, after: 0, limit: 10, bytes: 1 << 20) }.envelopes.count == 2)
        await store.close()
    }

    @Test func whoWasSuspendedBeforeStillIs() async throws {
        let world = try await World()
        _ = try await world.perform(.suspendUser(world.alice, reason: "before"))
        _ = try await erase(world, world.alice, grace: .seconds(60))
        // Asked for again: the new time holds.
        guard case .erasureAsked(let due) = try await erase(world, world.alice, grace: .seconds(600)) else { throw World.Failure() }
        let alice = world.alice
        #expect(try await world.store.readers.read { try $0.user(alice) }?.eraseAt == due)
        guard case .erasureCancelled(suspended: true) = try await world.perform(.cancelErasure(world.alice)) else { throw World.Failure() }
        #expect(rejection(try await world.perform(.send(world.message(1)))) == .userSuspended)
        _ = try await world.perform(.resumeUser(world.alice))
        _ = try await world.send(1)
        await world.store.close()
    }

    @Test func thePlanHoldsWhileWhatMattersIsTheSame() async throws {
        let world = try await World()
        let plan = try await fingerprint(world, world.alice)
        func attempt() async throws -> Rejection? {
            rejection(try await world.perform(.eraseUser(EraseUser(user: world.alice, fingerprint: plan, grace: .zero, uid: 0))))
        }
        _ = try await world.send(1)
        #expect(try await fingerprint(world, world.alice) == plan)
        #expect(try await fingerprint(world, world.alice, grace: .seconds(1)) != plan)
        var seen: Set<UInt64> = [plan]
        for command: Command in [
            .addInvite(AddInvite(user: world.alice, hash: [9], expires: world.clock.now() + .seconds(60))), .revokeDevice(world.devices[1]),
            .contact(ContactCommand(user: world.bob, peer: world.alice, action: .request)), .suspendUser(world.alice, reason: nil),
        ] {
            _ = try await world.perform(command)
            #expect(try await attempt() == .planOutdated, "\(command)")
            #expect(seen.insert(try await fingerprint(world, world.alice)).inserted, "\(command)")
        }
        let alice = world.alice
        #expect(try await world.store.readers.read { try $0.user(alice) } != nil)
        #expect(rejection(try await world.perform(.eraseUser(EraseUser(user: UserID(5), fingerprint: plan, grace: .zero, uid: 0)))) == .userUnknown)
        await world.store.close()
    }

    /// Everything that can hang on a user, erased in the smallest steps, with the store closed in the middle of each.
    @Test(arguments: [1, 3, 1000]) func whatStaysIsWhatThePlanSays(limit: Int) async throws {
        let world = try await World(record: true)
        let (alice, bob, phone) = (world.alice, world.bob, world.devices[0])
        var crowd: [(UserID, DeviceID)] = []
        for number in 0..<40 as Range<UInt8> {
            let user = try await world.addUser("other\(number)", invite: 100 + number)
            crowd.append((user, try await world.enrol(100 + number)))
        }
        let blocker = try await world.addUser("blocker", invite: 200)
        for number in 1...4 as ClosedRange<UInt64> { _ = try await world.send(number) }
        _ = try await world.perform(
            .setKeys(
                SetKeys(
                    user: alice, device: phone,
                    agreement: SignedKey(id: 0, key: [UInt8](repeating: 77, count: 32), signature: [UInt8](repeating: 1, count: 64)),
                    signedPrekey: SignedKey(id: 1, key: [UInt8](repeating: 78, count: 32), signature: [UInt8](repeating: 1, count: 64)),
                    oneTimePrekeys: [OneTimePrekey(id: 1, key: [UInt8](repeating: 79, count: 32))])))
        _ = try await world.perform(.contact(ContactCommand(user: alice, peer: crowd[0].0, action: .request, category: "secret label")))
        _ = try await world.perform(.contact(ContactCommand(user: blocker, peer: alice, action: .block, category: "boss")))
        // A large group, whose keys are rows of their own, and a small one of two, one of whom is gone already.
        let all = ([(alice, [phone, world.devices[1]]), (bob, [world.devices[2]])] + crowd.map { ($0.0, [$0.1]) })
        func change(_ number: UInt64, _ action: GroupAction, _ users: [UserID], in chat: ChatID?) async throws -> ChatID {
            let command = ChangeGroup(
                user: alice, device: phone, chat: chat, clientMessageID: number, action: action, users: users.sorted(), role: nil, body: ByteBuffer(),
                keys: [])
            guard case .sent(let sent) = try await world.perform(.changeGroup(command)) else { throw World.Failure() }
            return sent.chat
        }
        let group = try await change(10, .create, [bob] + crowd.map(\.0), in: nil)
        for number in 11...14 as ClosedRange<UInt64> {
            var send = world.message(number, to: all)
            send.chat = group
            guard case .sent = try await world.perform(.send(send)) else { throw World.Failure() }
        }
        _ = try await change(20, .create, [crowd[39].0], in: nil)
        let left = try await change(21, .create, [crowd[2].0], in: nil)
        _ = try await change(22, .leave, [], in: left)
        _ = try await world.perform(
            .delete(Delete(user: alice, device: phone, chat: group, clientMessageID: 30, seqs: [2, 3], forEveryone: false)))
        _ = try await world.perform(.read(alice, world.chat, chatSeq: 3))
        _ = try await world.perform(.read(bob, world.chat, chatSeq: 4))
        func audit(_ operation: String, _ subject: String, _ reason: String?) async throws {
            _ = try await world.store.writer.perform(.auditOnly, actor: Actor(uid: 0, operation: operation, subject: subject, reason: reason))
        }
        try await audit("contact/add", "bob alice", "alice wants it")
        try await audit("user/suspend", "other3", "insulted ALICE. Twice, malice aforethought")
        try await audit("device/kick", phone.description, "a phone of hers")
        try await audit("user/add", "bob", "unrelated")
        _ = try await world.perform(.removeUser(crowd[39].0))
        while case .removed(_, true, _) = try await world.perform(.clearUser(crowd[39].0, limit: 1000)) {}

        let account = try await world.store.readers.read { try $0.erasureAccount(of: alice) }
        var plan = try await chats(world.store, alice, limit: 3)
        plan.gone.merge(account, uniquingKeysWith: +)
        let row = try #require(try await world.store.readers.read { try $0.user(alice) })
        plan.gone[.audit] = try await world.store.readers.read { try $0.erasureAudit(of: row, after: 0, limit: 1000) }.count
        let before = try await world.store.readers.read { try $0.mailbox(of: bob, after: 0, limit: 100, bytes: 1 << 20) }.envelopes
        guard case .userGone(let leaver) = try await erase(world, alice) else { throw World.Failure() }
        #expect(leaver.contacts.map(\.user) == [crowd[0].0, blocker] && leaver.contacts.allSatisfy { $0.row.peer == alice && $0.row.state == .none })
        #expect(rejection(try await world.perform(.cancelErasure(alice))) == .erasureUnknown)

        var store = world.store
        var events = 0
        var steps = 0
        let record = world.directory.file("record")
        while true {
            guard case .removed(_, let remaining, let publication) = try await store.writer.perform(.clearUser(alice, limit: limit)) else {
                throw World.Failure()
            }
            if publication != nil { events += 1 }
            guard remaining else { break }
            steps += 1
            guard steps.isMultiple(of: 5) else { continue }
            await store.close()
            store = try Store(path: world.directory.file("relay.db"), clock: world.clock, record: record, onFailure: { Issue.record("\($0)") })
            #expect(try await store.readers.read { try $0.erasures(limit: 10) }.map(\.hasBegun) == [true])
        }
        #expect(events == 1 && (limit > 1 || steps > 25), "\(steps) steps")
        var gone = try await store.readers.read { try $0.erasedRows(of: alice) }
        #expect(await store.writer.emptyLog())
        guard case .done = try await store.writer.perform(.finishErasure(alice)) else { throw World.Failure() }

        // The entry of the order itself came after the plan.
        #expect(gone[.audit] == (plan.gone[.audit] ?? 0) + 1)
        gone[.audit] = plan.gone[.audit]
        #expect(gone == plan.gone.filter { $0.value > 0 })
        // One more message: it says that she left the large group.
        let named = try Self.rows(naming: alice, in: world.directory.file("relay.db"))
        #expect(
            named.mapValues(\.count) == [
                "users": 1, "chats": plan.stays[.chats] ?? 0, "members": plan.stays[.members] ?? 0, "messages": (plan.stays[.messages] ?? 0) + 1,
                "audit": 4,
            ])
        #expect(plan.stays[.chats] == 1 && plan.stays[.members] == 1)
        #expect(named["audit"]?.allSatisfy { $0.contains("erased:\(alice)") } == true)
        let dump = try StoreDump.tables(ofStoreAt: world.directory.file("relay.db")).mapValues { $0.joined(separator: "\n") }
        let text = dump.values.joined(separator: "\n")
        for word in ["'alice", "alice'", "ALICE", "secret label", "boss", "of hers", "wants it"] { #expect(!text.contains(word), "\(word)") }
        #expect(text.contains("'asked by letter'") && text.contains("'unrelated'") && text.contains("malice aforethought"))
        #expect(dump["audit"]?.contains("relayd/erase") == true)
        for device in [phone, world.devices[1]] { #expect(dump["devices"]?.contains(device.description) == false) }

        // Others have what they had, with the keys that are theirs; what is new says that she left.
        let after = try await store.readers.read { try $0.mailbox(of: bob, after: 0, limit: 100, bytes: 1 << 20) }.envelopes
        #expect(after.prefix(before.count).map(\.message) == before.map(\.message) && after.count == before.count + 1)
        for (old, new) in zip(before, after) {
            #expect(old.body == new.body && old.keys == new.keys && old.senderUser == new.senderUser)
        }
        for (user, device) in crowd.prefix(39) {
            let page = try await store.readers.read { try $0.mailbox(of: user, after: 0, limit: 100, bytes: 1 << 20) }.envelopes
            let messages = page.filter { $0.chat == group && $0.extra == nil }
            #expect(messages.count == 4 && messages.allSatisfy { $0.keys.key(for: device) != nil }, "\(user)")
        }
        #expect(rejection(try await store.writer.perform(.openChat(bob, alice))) == .userUnknown)
        var reply = world.message(1)
        (reply.user, reply.device) = (bob, world.devices[2])
        #expect(rejection(try await store.writer.perform(.send(reply))) == .recipientGone)
        guard
            case .userAdded(let other, _) = try await store.writer.perform(
                .addUser(
                    AddUser(
                        name: try UserName("alice"), displayName: nil, avatar: nil, inviteHash: [1, 1],
                        inviteExpires: world.clock.now() + .seconds(60))))
        else { throw World.Failure() }
        #expect(other != alice)

        await store.close()
        let copy = world.directory.file("copy.db")
        _ = try Replay.apply(record: record, toStoreAt: copy, batch: 7)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: world.directory.file("relay.db")))
    }

    private func chats(_ store: Store, _ user: UserID, limit: Int) async throws -> ErasureCounts {
        var counts = ErasureCounts()
        var place: ChatPosition?
        repeat {
            let page = try await store.readers.read { [place] in try $0.erasureChats(of: user, after: place, limit: limit) }
            counts.gone.merge(page.counts.gone, uniquingKeysWith: +)
            counts.stays.merge(page.counts.stays, uniquingKeysWith: +)
            place = page.next
        } while place != nil
        return counts
    }

    /// The other side of an ended contact that the user's own list has forgotten.
    @Test func forgottenContactsGoToo() async throws {
        let world = try await World()
        let (alice, bob) = (world.alice, world.bob)
        _ = try await world.perform(.contact(ContactCommand(user: alice, peer: bob, action: .request)))
        _ = try await world.perform(.contact(ContactCommand(user: alice, peer: bob, action: .delete)))
        await world.store.close()
        do {
            let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
            try database.execute("DELETE FROM contacts WHERE user_id = \(alice); UPDATE users SET contacts_floor = 5 WHERE user_id = \(alice)")
        }
        let store = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        let print = try await store.readers.read { try $0.erasureFingerprint(of: alice, grace: .zero) }
        _ = try await store.writer.perform(.eraseUser(EraseUser(user: alice, fingerprint: print, grace: .zero, uid: 0)))
        while case .removed(_, true, _) = try await store.writer.perform(.clearUser(alice, limit: 100)) {}
        #expect(try await store.readers.read { try $0.erasedRows(of: alice)[.contacts] } == 1)
        await store.close()
        #expect(try Self.rows(naming: alice, in: world.directory.file("relay.db"))["contacts"] == nil)
    }

    @Test func namesGoOutOfTexts() {
        let user = UserID(7)
        func text(_ text: String, _ name: String = "al", _ display: String? = nil) -> String {
            ErasedName.redact(text: text, name: name, displayName: display, user: user)
        }
        #expect(
            text("Al asked; al, AL. and (al) but not Alan, final or al-x")
                == "erased:7 asked; erased:7, erased:7 and (erased:7) but not Alan, final or al-x")
        #expect(text("Straße", "strasse") == "erased:7" && text("", "x") == "")
        #expect(text("for Al Bundy!", "bundy7", "Al Bundy") == "for erased:7!")
        #expect(ErasedName.redact(subject: "bob al", name: "al", user: user) == "bob erased:7")
        #expect(ErasedName.redact(subject: "alan", name: "al", user: user) == nil)
    }
}
