import NIOCore
import RelayModel
import RelayTestSupport
import Testing

@testable import RelayStorage

/// Groups, deletions and expiry at the store: what a member finds in the mailbox and in the history.
@Suite struct GroupTests {
    /// People with one device each and a group of the first few of them.
    private final class Club {
        let world: World
        var users: [UserID] = []
        var devices: [UserID: DeviceID] = [:]
        private var numbers: [DeviceID: UInt64] = [:]
        var group = ChatID(1)

        init(_ count: Int, members: Int, record: Bool = false) async throws {
            world = try await World(record: record)
            for index in 0..<count {
                let user = try await world.addUser("member\(index)", invite: UInt8(truncatingIfNeeded: index + 20))
                users.append(user)
                devices[user] = try await world.enrol(UInt8(truncatingIfNeeded: index + 20))
            }
            let created = try await change(users[0], .create, Array(users[1..<members]), in: nil)
            group = created.chat
        }

        func next(_ device: DeviceID) -> UInt64 {
            numbers[device, default: 0] += 1
            return numbers[device] ?? 0
        }

        func keys(for users: [UserID]) -> [MemberKeys] {
            users.sorted().map { user in
                var packed = PackedKeys()
                if let device = devices[user] { packed.append(device, key: [UInt8](repeating: UInt8(truncatingIfNeeded: user.rawValue), count: 48)) }
                return MemberKeys(user: user, keys: packed)
            }
        }

        func command(_ user: UserID, _ action: GroupAction, _ users: [UserID], _ role: GroupRole? = nil, in chat: ChatID?) throws -> ChangeGroup {
            let device = try #require(devices[user])
            return ChangeGroup(
                user: user, device: device, chat: chat, clientMessageID: next(device), action: action, users: users.sorted(), role: role,
                body: ByteBuffer(), keys: [])
        }

        func tryChange(_ user: UserID, _ action: GroupAction, _ users: [UserID] = [], _ role: GroupRole? = nil) async throws -> Outcome {
            try await world.perform(.changeGroup(command(user, action, users, role, in: group)))
        }

        @discardableResult
        func change(_ user: UserID, _ action: GroupAction, _ users: [UserID] = [], _ role: GroupRole? = nil, in chat: ChatID?) async throws
            -> SentOutcome
        {
            guard case .sent(let sent) = try await world.perform(.changeGroup(command(user, action, users, role, in: chat))) else {
                throw World.Failure()
            }
            return sent
        }

        @discardableResult
        func change(_ user: UserID, _ action: GroupAction, _ users: [UserID] = [], _ role: GroupRole? = nil) async throws -> SentOutcome {
            try await change(user, action, users, role, in: group)
        }

        func trySend(_ user: UserID, to members: [UserID], body: String = "ciphertext") async throws -> Outcome {
            let device = try #require(devices[user])
            return try await world.perform(
                .send(
                    Send(
                        user: user, device: device, chat: group, clientMessageID: next(device), body: ByteBuffer(string: body),
                        keys: keys(for: members))))
        }

        func send(_ user: UserID, to members: [UserID], body: String = "ciphertext") async throws -> SentOutcome {
            guard case .sent(let sent) = try await trySend(user, to: members, body: body) else { throw World.Failure() }
            return sent
        }

        func mailbox(_ user: UserID, after: UInt64 = 0, limit: Int = 1000, pushMembers: Int = 1000) async throws -> MailboxPage {
            try await world.store.readers.read { try $0.mailbox(of: user, after: after, limit: limit, bytes: 1 << 24, pushMembers: pushMembers) }
        }

        func places(_ user: UserID) async throws -> [UInt64] { try await mailbox(user).envelopes.filter { $0.chat == self.group }.map(\.chatSeq) }

        func roles(_ user: UserID) async throws -> [GroupRole] {
            let group = group
            return try await world.store.readers.read { try $0.chat(group, for: user)?.members.map(\.role) ?? [] }
        }
    }

    @Test func everyMemberSeesTheSameSequence() async throws {
        let club = try await Club(4, members: 3)
        let (a, b, c, d) = (club.users[0], club.users[1], club.users[2], club.users[3])
        _ = try await club.send(a, to: [a, b, c])
        try await club.change(a, .add, [d])
        _ = try await club.send(d, to: [a, b, c, d])
        try await club.change(a, .remove, [b])
        _ = try await club.send(c, to: [a, c, d])
        #expect(try await club.places(a) == [1, 2, 3, 4, 5, 6])
        #expect(try await club.places(c) == [1, 2, 3, 4, 5, 6])
        // From joining to leaving, both included.
        #expect(try await club.places(d) == [3, 4, 5, 6])
        #expect(try await club.places(b) == [1, 2, 3, 4, 5])
        let events = try await club.mailbox(a).envelopes.compactMap { envelope -> GroupEvent? in
            if case .group(let event)? = envelope.extra { event } else { nil }
        }
        #expect(events.map(\.action) == [.create, .add, .remove])
        #expect(events.map(\.users) == [[b, c], [d], [b]])
        await club.world.store.close()
    }

    @Test func aSendIsWhollyBeforeOrAfterAChange() async throws {
        let club = try await Club(3, members: 2)
        let (a, b, c) = (club.users[0], club.users[1], club.users[2])
        try await club.change(a, .add, [c])
        let late = try await club.trySend(b, to: [a, b])
        #expect(rejection(late) == .deviceSetMismatch([DeviceSetDifference(user: c, missing: [club.devices[c] ?? DeviceID(0)], extra: [])]))
        try await club.change(a, .remove, [c])
        let early = try await club.trySend(b, to: [a, b, c])
        #expect(rejection(early) == .deviceSetMismatch([DeviceSetDifference(user: c, missing: [], extra: [club.devices[c] ?? DeviceID(0)])]))
        #expect(rejection(try await club.trySend(c, to: [a, b, c])) == .chatUnknown)
        await club.world.store.close()
    }

    @Test func rolesDecide() async throws {
        let club = try await Club(5, members: 4)
        let (owner, admin, member, other, stranger) = (club.users[0], club.users[1], club.users[2], club.users[3], club.users[4])
        #expect(rejection(try await club.tryChange(member, .add, [stranger])) == .notPermitted)
        #expect(rejection(try await club.tryChange(member, .setRole, [member], .owner)) == .notPermitted)
        try await club.change(owner, .setRole, [admin], .admin)
        #expect(rejection(try await club.tryChange(admin, .remove, [owner])) == .notPermitted)
        #expect(rejection(try await club.tryChange(admin, .add, [member])) == .alreadyMember)
        #expect(rejection(try await club.tryChange(admin, .remove, [stranger])) == .memberUnknown)
        try await club.change(admin, .remove, [other])
        #expect(rejection(try await club.tryChange(owner, .rename)) == .changeInvalid)
        #expect(try await club.roles(owner) == [.owner, .admin, .member])
        // The last owner goes: the admin follows, then who has been there longest.
        try await club.change(owner, .leave)
        #expect(try await club.roles(admin) == [.owner, .member])
        try await club.change(admin, .leave)
        #expect(try await club.roles(member) == [.owner])
        #expect(rejection(try await club.tryChange(owner, .add, [stranger])) == .chatUnknown)
        await club.world.store.close()
    }

    @Test func whoStepsDownIsFollowedBySomebodyElse() async throws {
        let club = try await Club(3, members: 3)
        let (a, b, c) = (club.users[0], club.users[1], club.users[2])
        try await club.change(a, .setRole, [c], .admin)
        try await club.change(a, .setRole, [a], .member)
        #expect(try await club.roles(a) == [.member, .member, .owner])
        // An owner who becomes admin has stepped down too, and is no better than those who never were one.
        try await club.change(c, .setRole, [c], .admin)
        #expect(try await club.roles(a) == [.owner, .member, .admin])
        try await club.change(a, .remove, [b])
        try await club.change(a, .remove, [c])
        // Nobody else is there.
        try await club.change(a, .setRole, [a], .member)
        #expect(try await club.roles(a) == [.owner])
        await club.world.store.close()
    }

    @Test func aRetryOfAChangeGetsTheFirstAnswer() async throws {
        let club = try await Club(3, members: 2)
        let (a, b) = (club.users[0], club.users[1])
        var creation = try club.command(a, .create, [b], in: nil)
        guard case .sent(let first) = try await club.world.perform(.changeGroup(creation)) else { throw World.Failure() }
        guard case .sent(let again) = try await club.world.perform(.changeGroup(creation)) else { throw World.Failure() }
        #expect(first.chat == again.chat && first.message == again.message && again.publication == nil)
        creation.users = [b, club.users[2]].sorted()
        // Also when one has left meanwhile.
        let leaving = try club.command(b, .leave, [], in: club.group)
        guard case .sent(let left) = try await club.world.perform(.changeGroup(leaving)) else { throw World.Failure() }
        guard case .sent(let leftAgain) = try await club.world.perform(.changeGroup(leaving)) else { throw World.Failure() }
        #expect(left.message == leftAgain.message)
        await club.world.store.close()
    }

    /// Behind so many messages of others that the writer does not look that far.
    @Test func aLateRetryIsLookedForByAReader() async throws {
        let club = try await Club(2, members: 2)
        let (a, b) = (club.users[0], club.users[1])
        let device = try #require(club.devices[b])
        func send(_ number: UInt64) -> Command {
            .send(
                Send(
                    user: b, device: device, chat: club.group, clientMessageID: number, body: ByteBuffer(string: "once"),
                    keys: club.keys(for: [a, b])))
        }
        var sent: [UInt64: SentOutcome] = [:]
        for number: UInt64 in [2, 5] {
            guard case .sent(let first) = try await club.world.perform(send(number)) else { throw World.Failure() }
            sent[number] = first
        }
        for _ in 1..<Limits.retryScan - 1 { _ = try await club.send(a, to: [a, b]) }
        guard case .sent(let near) = try await club.world.perform(send(2)) else { throw World.Failure() }
        #expect(near.message == sent[2]?.message && near.publication == nil)
        for _ in 0..<20 { _ = try await club.send(a, to: [a, b]) }
        for (number, first) in sent {
            guard case .retried(var retry) = try await club.world.perform(send(number)) else { throw World.Failure() }
            #expect(retry.highest == 5)
            var steps = 0
            search: while true {
                steps += 1
                let step = retry
                switch try await club.world.store.readers.read({ try $0.firstAnswer(to: step, limit: 8) }) {
                case .sent(let found, let deleted):
                    #expect(found.message == first.message && found.chatSeq == first.chatSeq && !deleted)
                    break search
                case .none:
                    Issue.record("the first answer is gone")
                    break search
                case .further(let before):
                    #expect(before < retry.before)
                    retry.before = before
                }
            }
            #expect(steps > 1)
        }
        // A number that was passed over ends at the next lower one, or where the device begins.
        for number: UInt64 in [4, 1] {
            guard case .retried(var retry) = try await club.world.perform(send(number)) else { throw World.Failure() }
            retry.before = (sent[5]?.chatSeq ?? 0) + 1
            let step = retry
            guard case .none = try await club.world.store.readers.read({ try $0.firstAnswer(to: step) }) else { throw World.Failure() }
        }
        await club.world.store.close()
    }

    @Test func whoComesBackSeesBothStays() async throws {
        let club = try await Club(2, members: 2)
        let (a, b) = (club.users[0], club.users[1])
        _ = try await club.send(a, to: [a, b])
        try await club.change(a, .remove, [b])
        _ = try await club.send(a, to: [a])
        try await club.change(a, .add, [b])
        _ = try await club.send(a, to: [a, b])
        #expect(try await club.places(b) == [1, 2, 3, 5, 6])
        let group = club.group
        let history = try await club.world.store.readers.read { try $0.messages(of: group, for: b, .before(.max), limit: 10, bytes: 1 << 20).rows }
        #expect(history.map(\.chatSeq) == [6, 5, 3, 2, 1])
        await club.world.store.close()
    }

    @Test func aLargeGroupsKeysAreFoundOneByOne() async throws {
        let club = try await Club(100, members: 100)
        let sent = try await club.send(club.users[7], to: club.users)
        #expect(sent.publication?.audience == club.users.sorted())
        for user in [club.users[0], club.users[31], club.users[32], club.users[99]] {
            let envelope = try #require(try await club.mailbox(user).envelopes.last)
            let key = envelope.keys.key(for: club.devices[user] ?? DeviceID(0))
            #expect(key?.readableBytesView.first == UInt8(truncatingIfNeeded: user.rawValue))
            #expect(envelope.keys.devices.count == 1)
        }
        // Above the configured size its members are told that there is something, and fetch it.
        let page = try await club.mailbox(club.users[3], pushMembers: 50)
        #expect(page.envelopes.isEmpty && page.complete)
        #expect(page.announced == [ChatPosition(chat: club.group, seq: 2)])
        await club.world.store.close()
    }

    /// Neither how far the others are, nor how far the group is.
    @Test func aFormerMemberLearnsNothingMore() async throws {
        let club = try await Club(3, members: 3)
        let (a, b, c) = (club.users[0], club.users[1], club.users[2])
        let sent = try await club.send(b, to: [a, b, c])
        try await club.change(a, .remove, [b])
        _ = try await club.send(a, to: [a, c])
        let group = club.group
        await #expect(throws: Rejection.chatUnknown) {
            try await club.world.store.readers.read { try $0.status(of: sent, deleted: false, by: b) }
        }
        func delete(_ seq: UInt64) async throws -> Outcome {
            let device = try #require(club.devices[b])
            return try await club.world.perform(
                .delete(Delete(user: b, device: device, chat: group, clientMessageID: club.next(device), seqs: [seq], forEveryone: false)))
        }
        // Up to the removal, which is the third: whether there is a fourth is not told.
        for seq in [4, 5] as [UInt64] { #expect(rejection(try await delete(seq)) == .positionUnknown) }
        for seq in 1...3 as ClosedRange<UInt64> { guard case .sent = try await delete(seq) else { throw World.Failure() } }
        await club.world.store.close()
    }

    @Test func deletedForEveryoneIsNowhere() async throws {
        let club = try await Club(3, members: 3)
        let (a, b, c) = (club.users[0], club.users[1], club.users[2])
        let secret = "the-body-that-goes"
        let sent = try await club.send(b, to: [a, b, c], body: secret)
        func delete(_ user: UserID, _ seqs: [UInt64], forEveryone: Bool) async throws -> Outcome {
            let device = try #require(club.devices[user])
            return try await club.world.perform(
                .delete(
                    Delete(user: user, device: device, chat: club.group, clientMessageID: club.next(device), seqs: seqs, forEveryone: forEveryone)))
        }
        #expect(rejection(try await delete(c, [2], forEveryone: true)) == .notDeletable)
        #expect(rejection(try await delete(a, [1], forEveryone: true)) == .notDeletable, "the group's own history stays")
        #expect(rejection(try await delete(b, [9], forEveryone: true)) == .positionUnknown)
        // For oneself: hidden here, and said to one's own devices only.
        guard case .sent(let hidden) = try await delete(c, [2], forEveryone: false) else { throw World.Failure() }
        #expect(hidden.publication?.audience == [c])
        #expect(try await club.mailbox(c).envelopes.contains { String(buffer: $0.body) == secret } == false)
        #expect(try await club.mailbox(a).envelopes.contains { String(buffer: $0.body) == secret })
        // An admin's word.
        guard case .sent = try await delete(a, [2], forEveryone: true) else { throw World.Failure() }
        for user in [a, b, c] {
            let seen = try await club.mailbox(user).envelopes.filter { $0.chat == club.group }
            #expect(seen.map(\.chatSeq) == [1, 2, 3])
            #expect(seen.allSatisfy { $0.body.readableBytes == 0 })
        }
        let (group, device) = (club.group, club.devices[b] ?? DeviceID(0))
        let retry = Retry(chat: group, device: device, clientMessageID: sent.clientMessageID, highest: 0, before: .max)
        let status = try await club.world.store.readers.read { reader -> MessageStatusRow? in
            guard case .sent(let found, let deleted) = try reader.firstAnswer(to: retry) else { return nil }
            #expect(found.message == sent.message)
            return try reader.status(of: found, deleted: deleted, by: b)
        }
        #expect(status?.deleted == true && status?.sent.message == sent.message && status?.recipients == 2)
        await club.world.store.close()
    }

    @Test func whatExpiredLeavesAGapMarker() async throws {
        let club = try await Club(2, members: 2)
        let (a, b) = (club.users[0], club.users[1])
        for _ in 1...9 { _ = try await club.send(a, to: [a, b]) }
        for (seq, rows) in [(UInt64(4), 4), (6, 2), (6, 0)] {
            guard case .purged(rows, _, _) = try await club.world.perform(.purge([PurgeEnd(chat: club.group, seq: seq, mayBeUnread: true)]))
            else { throw World.Failure() }
        }
        let seen = try await club.mailbox(b).envelopes
        #expect(seen.map(\.chatSeq) == [6, 7, 8, 9, 10])
        guard case .gone? = seen.first?.extra else { throw World.Failure() }
        // A device that had got further than the gap is not told.
        #expect(try await club.mailbox(b, after: seen[1].mailboxSeq).envelopes.map(\.chatSeq) == [8, 9, 10])
        // Sequences go on, also after a restart.
        await club.world.store.close()
        let reopened = try Store(path: club.world.directory.file("relay.db"), clock: club.world.clock, onFailure: { Issue.record("\($0)") })
        let device = club.devices[a] ?? DeviceID(0)
        let send = Send(
            user: a, device: device, chat: club.group, clientMessageID: club.next(device), body: ByteBuffer(string: "x"),
            keys: club.keys(for: [a, b]))
        guard case .sent(let next) = try await reopened.writer.perform(.send(send)) else { throw World.Failure() }
        #expect(next.chatSeq == 11)
        await reopened.close()
    }

    @Test func ofAMemberWhoLeftEverythingMayExpire() async throws {
        let club = try await Club(2, members: 2)
        let (a, b) = (club.users[0], club.users[1])
        _ = try await club.send(a, to: [a, b])
        guard case .sent(let left) = try await club.tryChange(b, .leave) else { throw World.Failure() }
        for _ in 1...3 { _ = try await club.send(a, to: [a]) }
        guard case .purged = try await club.world.perform(.purge([PurgeEnd(chat: club.group, seq: left.chatSeq + 2, mayBeUnread: true)]))
        else { throw World.Failure() }
        let group = club.group
        for start in [Reader.PageStart.after(0), .before(UInt64(Int64.max))] {
            let history = try await club.world.store.readers.read { try $0.messages(of: group, for: b, start, limit: 10, bytes: 1 << 20).rows }
            #expect(history.map(\.chatSeq) == [left.chatSeq])
            guard case .gone? = history.first?.extra else { throw World.Failure() }
        }
        await club.world.store.close()
    }

    /// Random changes and sends against a model of who is in: everybody finds exactly what lies between joining and leaving, in pages of any
    /// size; when more and more of it expires, a gap marker in its place for each stay; and the recorded commands give the same tables again.
    @Test(arguments: 1...6 as ClosedRange<UInt64>) func membershipIsRespected(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let club = try await Club(6, members: 3, record: true)
        var members = Set(club.users[..<3])
        var owner = club.users[0]
        var expected: [UserID: [UInt64]] = [:]
        var stays: [UserID: [(joined: UInt64, left: UInt64)]] = [:]
        for user in members {
            expected[user] = [1]
            stays[user] = [(1, .max)]
        }
        var seq: UInt64 = 1
        for _ in 0..<120 {
            let user = try #require(club.users.randomElement(using: &random))
            let before = members
            let outcome: Outcome
            var after = members
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                outcome = try await club.tryChange(owner, .add, [user])
                after.insert(user)
                #expect((rejection(outcome) == .alreadyMember) == members.contains(user), "seed \(seed)")
            case 1 where user != owner:
                outcome = try await club.tryChange(owner, .remove, [user])
                after.remove(user)
                #expect((rejection(outcome) == .memberUnknown) == !members.contains(user), "seed \(seed)")
            case 2 where members.count > 1 && members.contains(user):
                outcome = try await club.tryChange(user, .leave)
                after.remove(user)
                if user == owner {
                    let group = club.group
                    let someone = try #require(after.first)
                    let row = try await club.world.store.readers.read { try $0.chat(group, for: someone) }
                    owner = try #require(row?.members.first { $0.role == .owner }?.user)
                }
            default:
                outcome = try await club.trySend(user, to: Array(members))
                #expect((rejection(outcome) == .chatUnknown) == !members.contains(user), "seed \(seed)")
            }
            guard case .sent(let sent) = outcome else { continue }
            seq += 1
            #expect(sent.chatSeq == seq, "seed \(seed)")
            members = after
            for user in before.union(after) { expected[user, default: []].append(seq) }
            for user in after.subtracting(before) { stays[user, default: []].append((seq, .max)) }
            for user in before.subtracting(after) { stays[user, default: []][stays[user, default: []].count - 1].left = seq }
        }
        var floor: UInt64 = 0
        for _ in 0..<4 {
            for user in club.users {
                let gaps = stays[user, default: []].filter { $0.joined <= floor }.map { min(floor, $0.left) }
                let all = gaps + expected[user, default: []].filter { $0 > floor }
                #expect(try await mailboxInPages(club, user, &random) == all, "seed \(seed), up to \(floor) expired")
                guard stays[user] != nil else { continue }
                for start in [0, seq, UInt64.random(in: 0...seq, using: &random)] {
                    let (newer, older) = try await club.world.store.readers.read { [group = club.group] reader in
                        (
                            try reader.messages(of: group, for: user, .after(start), limit: 1000, bytes: 1 << 20).rows,
                            try reader.messages(of: group, for: user, .before(start), limit: 1000, bytes: 1 << 20).rows
                        )
                    }
                    #expect(newer.map(\.chatSeq) == all.filter { $0 > start }, "seed \(seed), up to \(floor) expired, after \(start)")
                    #expect(older.map(\.chatSeq) == all.filter { $0 < start }.reversed(), "seed \(seed), up to \(floor) expired, before \(start)")
                }
            }
            floor = UInt64.random(in: floor...seq, using: &random)
            guard case .purged = try await club.world.perform(.purge([PurgeEnd(chat: club.group, seq: floor, mayBeUnread: true)]))
            else { throw World.Failure() }
        }
        await club.world.store.close()
        let copy = club.world.directory.file("copy.db")
        _ = try Replay.apply(record: club.world.directory.file("record"), toStoreAt: copy, batch: 7)
        #expect(try StoreDump.tables(ofStoreAt: copy) == StoreDump.tables(ofStoreAt: club.world.directory.file("relay.db")), "seed \(seed)")
    }

    /// The group's sequences in a user's mailbox.
    private func mailboxInPages(_ club: Club, _ user: UserID, _ random: inout SeededGenerator) async throws -> [UInt64] {
        var found: [UInt64] = []
        var cursor: UInt64 = 0
        while true {
            let page = try await club.mailbox(user, after: cursor, limit: Int.random(in: 1...20, using: &random))
            found += page.envelopes.filter { $0.chat == club.group }.map(\.chatSeq)
            guard let last = page.envelopes.last else { return found }
            #expect(last.mailboxSeq > cursor)
            cursor = last.mailboxSeq
            if page.complete { return found }
        }
    }
}
