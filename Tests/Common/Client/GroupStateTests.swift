import Foundation
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayClient

/// Groups, deletions and gaps in a client's state, without a relay.
@Suite struct GroupStateTests {
    let scratch: Scratch
    let state: ClientState
    let account: Account
    let me = UserID(1)
    let team = ChatID(500)

    init() throws {
        scratch = try Scratch()
        (state, _) = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy())
        try state.completeEnrolment(user: me, name: "alice", device: DeviceID(11))
        account = try #require(try state.account())
    }

    private func entry(_ seq: UInt64, from user: UInt64 = 2, text: String? = "text", kind: HistoryEntry.Kind = .message) -> HistoryEntry {
        HistoryEntry(
            chat: team, chatSeq: seq, message: MessageID(1000 + seq), senderUser: UserID(user), senderDevice: DeviceID(user * 10 + 1),
            clientMessageID: seq, sentAt: Timestamp(milliseconds: 5), writtenAt: nil, text: text, problem: nil, kind: kind)
    }

    private func change(_ action: GroupAction, _ users: [UInt64], _ role: GroupRole? = nil) -> GroupChangeRecord {
        GroupChangeRecord(action: action, users: users.map { UserID($0) }, role: role)
    }

    private func apply(_ change: GroupChangeRecord, at seq: UInt64, by sender: UInt64 = 2, title: String? = nil) throws {
        try state.transaction {
            try state.apply(change, title: title, in: team, at: seq, by: UserID(sender), me: me)
            _ = try state.storeReceived(entry(seq, from: sender, text: title, kind: .change(change)), mailboxSeq: 1000 + seq)
        }
    }

    private func roles() throws -> [UInt64: GroupRole] {
        Dictionary(uniqueKeysWithValues: try state.members(of: team).map { ($0.user.rawValue, $0.role) })
    }

    // MARK: Members

    @Test func changesMoveTheMembers() throws {
        try apply(change(.create, [1, 3]), at: 1)
        #expect(try roles() == [1: .member, 2: .owner, 3: .member])
        try apply(change(.rename, []), at: 2, title: "team")
        #expect(try state.findGroup("team") == .chat(team))
        try apply(change(.add, [4]), at: 3, title: "team")
        try apply(change(.setRole, [4], .admin), at: 4)
        try apply(change(.remove, [3]), at: 5)
        #expect(try roles() == [1: .member, 2: .owner, 4: .admin])
        try apply(change(.leave, [2]), at: 6)
        let lacks = try state.transaction { try state.lacksAnOwner(team) }
        #expect(lacks, "only the relay knows who follows")
        #expect(try state.transaction { try state.groupsLackingAnOwner() } == [team], "a later session asks")
        #expect(try state.history(chat: team).count == 6)
        #expect(try state.gapRecords().isEmpty)
    }

    /// What is fetched is newer than what is still in the mailbox: older changes must not undo it.
    @Test func aFetchedGroupWinsOverOlderChanges() throws {
        try state.transaction {
            try state.storeGroup(team, members: [(me, .owner), (UserID(9), .member)], at: 7, joined: 1, left: 0)
        }
        try apply(change(.create, [1, 3]), at: 1)
        try apply(change(.add, [4]), at: 2)
        try apply(change(.remove, [9]), at: 7)
        #expect(try roles() == [1: .owner, 9: .member])
        try apply(change(.remove, [9]), at: 8)
        #expect(try roles() == [1: .owner])
        // An answer that was overtaken changes nothing either.
        try state.transaction { try state.storeGroup(team, members: [(me, .owner), (UserID(9), .member)], at: 7, joined: 1, left: 0) }
        #expect(try roles() == [1: .owner])
    }

    /// An answer that ends before what is known was overtaken, or the relay was set back: then nothing came since it was asked.
    @Test func aFetchedGroupOfARelayThatWasSetBack() throws {
        try apply(change(.create, [1, 3]), at: 1)
        try apply(change(.add, [4]), at: 5)
        let before: [(user: UserID, role: GroupRole)] = [(me, .admin), (UserID(2), .owner), (UserID(3), .member)]
        try state.transaction { try state.storeGroup(team, members: before, at: 3, joined: 1, left: 0, asked: 1) }
        #expect(try roles() == [1: .member, 2: .owner, 3: .member, 4: .member], "4 was added while the relay was asked")
        let known = try state.transaction { try state.membersSeq(of: team) }
        #expect(known == 5)
        try state.transaction { try state.storeGroup(team, members: before, at: 3, joined: 1, left: 0, asked: known) }
        #expect(try roles() == [1: .admin, 2: .owner, 3: .member])
        // The changes of its new life come behind the answer.
        try apply(change(.add, [6]), at: 4)
        #expect(try roles() == [1: .admin, 2: .owner, 3: .member, 6: .member])
        #expect(try state.transaction { try state.membersSeq(of: team) } == 4)
    }

    /// Who was removed, and gets a message at that place or before it from a relay that was set back, is a member again.
    @Test func aRemovalThatIsUndone() throws {
        try apply(change(.create, [1]), at: 1)
        _ = try state.transaction { try state.storeReceived(entry(4), mailboxSeq: 1004) }
        try apply(change(.remove, [1]), at: 9)
        // The removal is newer than what gives way: it stays.
        #expect(try state.transaction { try state.makeRoom(in: team, at: 3, for: MessageID(1005)) } == 1)
        #expect(try state.group(team)?.leftSeq == 9)
        #expect(try state.transaction { try state.makeRoom(in: team, at: 3, for: MessageID(2000)) } == 1)
        #expect(try state.group(team)?.leftSeq == 0)
        let answer: [(user: UserID, role: GroupRole)] = [(me, .member), (UserID(2), .owner)]
        try state.transaction { try state.storeGroup(team, members: answer, at: 3, joined: 1, left: 0, asked: 2) }
        #expect(try roles() == [1: .member, 2: .owner])
    }

    /// What shows that the relay was set back makes the session ask who is in the group.
    @Test func aGroupOfARelayThatWasSetBackIsAskedFor() async throws {
        let room = try Room("alice", "bob", "carol")
        func refreshes() async throws -> Set<ChatID> { try await room["alice"].session.inside { session, _, _ in session.refreshes }.0 }
        for text in ["one", "two", "three"] { try await room.says(text, from: "bob", without: []) }
        #expect(try await refreshes().isEmpty)
        var content = Relay_Client_V1_Content()
        content.text.text = "two anew"
        var envelope = try #require(try room.seal(content, from: "bob").envelopes["alice"])
        envelope.chatSeq = 2
        envelope.messageID = 5000
        try await room.give(envelope, to: "alice")
        #expect(try await refreshes() == [room.chat])
        #expect(try await room.history("alice").compactMap(\.text) == ["one", "two", "three", "two anew"])
    }

    @Test func removedAndBack() throws {
        try apply(change(.create, [1]), at: 1)
        try apply(change(.remove, [1]), at: 5)
        let group = try #require(try state.group(team))
        #expect(group.leftSeq == 5 && group.role == nil)
        try state.transaction { try state.beginStay(team, at: 20) }
        try apply(change(.add, [1]), at: 20)
        let again = try #require(try state.group(team))
        #expect(again.leftSeq == 0 && again.joinedSeq == 20 && again.role == .member)
        // What was between the stays is not missing; what was between 1 and 5 is.
        #expect(try state.gaps(in: team) == [2...4])
    }

    /// As large as a group may be: everybody's devices in the order that the relay wants, and a change costs its own size.
    @Test func aThousandMembersWithFiveDevices() throws {
        try state.transaction {
            for user in UInt64(1)...1000 {
                let devices = (1...UInt64(5)).map { number in
                    KnownDevice(
                        id: DeviceID(user * 10 + 6 - number), user: UserID(user), name: "phone", identityKey: [UInt8](repeating: 1, count: 32),
                        agreementKey: [UInt8](repeating: 2, count: 32), active: true)
                }
                try state.store(user: UserID(user), name: "user\(user)", displayName: "", devices: devices)
            }
            let members = (1...UInt64(1000)).reversed().map { (user: UserID($0), role: $0 == 1 ? GroupRole.owner : .member) }
            try state.storeGroup(team, members: members, at: 1, joined: 1, left: 0)
        }
        func recipients() throws -> [KnownDevice] { try state.transaction { try state.recipients(in: team) } }
        let all = try recipients()
        #expect(all.count == 5000)
        #expect(zip(all, all.dropFirst()).allSatisfy { ($0.user, $0.id) < ($1.user, $1.id) })
        for user in UInt64(2)...101 { try apply(change(.remove, [user]), at: user, by: 1) }
        #expect(try recipients().count == 4500)
        #expect(try state.group(team)?.memberCount == 900)
    }

    @Test func titlesAreFoundOrAmbiguous() throws {
        try apply(change(.create, [1]), at: 1)
        try apply(change(.rename, []), at: 2, title: "team")
        try state.transaction {
            try state.apply(change(.create, [1]), title: "team", in: ChatID(600), at: 1, by: UserID(2), me: me)
        }
        #expect(throws: ClientError.ambiguousGroup(title: "team", [team, ChatID(600)])) { try state.findGroup("team") }
        #expect(throws: ClientError.ambiguousGroup(title: "team", [team, ChatID(600)])) { try state.findChat("team") }
        #expect(try state.findGroup("600") == .chat(ChatID(600)))
        // A former group gives way to one that goes on.
        try state.transaction { try state.apply(change(.leave, [1]), title: nil, in: ChatID(600), at: 2, by: me, me: me) }
        #expect(try state.findGroup("team") == .chat(team))
        #expect(throws: ClientError.groupUnknown("crew")) { try state.findGroup("crew") }
    }

    /// A group must not catch what is meant for a user of its name.
    @Test func aTitleDoesNotHideAUser() throws {
        try apply(change(.create, [1]), at: 1, title: "bob")
        #expect(try state.groupForRecipient("bob") == .chat(team))
        try state.transaction { _ = try state.store(user: UserID(2), name: "bob", displayName: "", devices: []) }
        #expect(
            throws: ClientError.request(
                "“bob” is the name of a user and of a group", hint: "use --user for the user, --group for the group")
        ) { try state.groupForRecipient("bob") }
        #expect(try state.groupForRecipient("carol") == nil)
        // The members of a group are in no direct chat.
        #expect(try state.chat(with: "bob") == nil)
    }

    // MARK: Outbox

    private func seal(_ id: Int64, _ number: UInt64, _ change: Relay_V1_GroupChange) throws {
        try state.storeSealed(id, chat: ChatID(change.chatID), clientMessageID: number, try change.serializedBytes())
    }

    private func place(_ seq: UInt64, _ number: UInt64, chat: ChatID? = nil) -> SentPlace {
        SentPlace(chat: chat ?? team, clientMessageID: number, message: MessageID(2000 + seq), chatSeq: seq, sentAt: Timestamp(milliseconds: 6))
    }

    @Test func whatFollowsAGroupIsSentToIt() throws {
        let now = Timestamp(milliseconds: 5)
        let (group, title, message) = try state.transaction {
            let group = try state.enqueue("team", to: "team", writtenAt: now, target: nil, command: .create(users: ["bob"]))
            let title = try state.enqueue("team", to: "team", writtenAt: now, target: .unborn(group), command: .rename)
            return (group, title, try state.enqueue("hello", to: "team", writtenAt: now, target: .unborn(group), command: nil))
        }
        #expect(try state.findGroup("team") == .unborn(group))
        #expect(try state.outbox().map(\.follows) == [nil, group, group])
        var change = Relay_V1_GroupChange()
        change.action = .create
        change.userIds = [2]
        try state.transaction {
            try seal(group, 1, change)
            _ = try state.storeSent(group, place(1, 1), by: account)
        }
        #expect(try state.outbox().map(\.target) == [team, team])
        #expect(try state.outbox().map(\.command) == [.rename, nil])
        #expect(try roles() == [1: .owner, 2: .member])
        #expect(try state.stage(of: group) == .sent)
        #expect(try state.stage(of: title) == .queued && state.stage(of: message) == .queued)
        #expect(try state.findGroup("team") == .chat(team))
        // Somebody who looked before the answer came means the same group.
        let late = try state.transaction { try state.enqueue("late", to: "team", writtenAt: now, target: .unborn(group), command: nil) }
        #expect(try state.outbox().first { $0.id == late }?.target == team)
    }

    @Test func withoutTheGroupNothingFollows() throws {
        let now = Timestamp(milliseconds: 5)
        let dead = try state.transaction {
            let group = try state.enqueue("team", to: "team", writtenAt: now, target: nil, command: .create(users: ["nobody"]))
            _ = try state.enqueue("team", to: "team", writtenAt: now, target: .unborn(group), command: .rename)
            return try state.bury(group, code: "user_unknown", reason: "the relay knows no user nobody")
        }
        #expect(dead.map(\.code) == ["user_unknown", "group_not_created"])
        #expect(try state.outboxCount() == 0)
        #expect(throws: ClientError.self) {
            try state.transaction { try state.enqueue("x", to: "team", writtenAt: now, target: .unborn(dead[0].id), command: nil) }
        }
        // Tried again, they belong together again.
        #expect(try state.retryDeadLetters() == 2)
        let waiting = try state.outbox()
        #expect(waiting.map(\.command) == [.create(users: ["nobody"]), .rename])
        #expect(waiting[1].follows == waiting[0].id)
    }

    // MARK: Deletions

    private func files() throws -> [String: Data] {
        var found: [String: Data] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: scratch.directory.path) {
            found[file] = try Data(contentsOf: URL(fileURLWithPath: "\(scratch.directory.path)/\(file)"))
        }
        return found
    }

    /// In no page, free or used, and not in the log.
    @Test(arguments: [16, 600, 20_000]) func deletedTextsLeaveNoTrace(length: Int) throws {
        let secret = "the canary sings "
        let text = String(repeating: secret, count: length / secret.utf8.count + 1)
        let now = Timestamp(milliseconds: 5)
        let id = try state.transaction {
            for seq in UInt64(1)...200 {
                _ = try state.storeReceived(entry(seq, text: seq.isMultiple(of: 3) ? text + "\(seq)" : "kept \(seq)"), mailboxSeq: seq)
            }
            return try state.enqueue(text, to: "team", writtenAt: now, target: .chat(team), command: nil)
        }
        try state.transaction { try state.storeSealed(id, chat: team, clientMessageID: 1, [1, 2, 3]) }
        try state.transaction { _ = try state.storeSent(id, place(201, 1), by: account) }
        try state.emptyLog()
        #expect(try files().values.contains { $0.range(of: Data(secret.utf8)) != nil }, "the test would find nothing anyway")
        try state.transaction {
            try state.applyDeletion(team, (1...201).filter { $0 == 201 || $0 % 3 == 0 }, forEveryone: true)
        }
        try state.emptyLog()
        for (name, bytes) in try files() { #expect(bytes.range(of: Data(secret.utf8)) == nil, "\(name)") }
        let history = try state.history(chat: team)
        #expect(history.count == 201 && history.count { $0.kind == .deleted(forEveryone: true) } == 67)
        #expect(history.filter { $0.chatSeq % 3 == 1 && $0.chatSeq < 201 }.allSatisfy { $0.text == "kept \($0.chatSeq)" })
    }

    @Test func aDeletionBeforeItsMessage() throws {
        try state.transaction {
            try state.applyDeletion(team, [3], forEveryone: false)
            _ = try state.storeReceived(entry(3, text: "never seen"), mailboxSeq: 3)
        }
        #expect(try state.history(chat: team).map(\.kind) == [.deleted(forEveryone: false)])
        #expect(try state.history(chat: team).map(\.text) == [nil])
    }

    /// A tombstone in the place of a message that is here takes its text away; the other way round nothing comes back.
    @Test func tombstones() throws {
        try state.transaction {
            _ = try state.storeReceived(entry(1, text: "here"), mailboxSeq: 1)
            let again = try state.storeReceived(entry(1, text: nil, kind: .deleted(forEveryone: true)), mailboxSeq: 2)
            #expect(again == .duplicate)
            _ = try state.storeReceived(entry(2, text: nil, kind: .deleted(forEveryone: true)), mailboxSeq: 3)
            let late = try state.storeReceived(entry(2, text: "back"), mailboxSeq: 4)
            #expect(late == .duplicate)
        }
        #expect(try state.history(chat: team).map(\.text) == [nil, nil])
        #expect(try state.gapRecords().isEmpty)
    }

    /// Marks are places, so what is deleted counts as it did before.
    @Test func receiptsOfDeletedMessages() throws {
        try apply(change(.create, [1]), at: 1)
        let id = try state.transaction {
            let id = try state.enqueue("text", to: "team", writtenAt: Timestamp(milliseconds: 5), target: .chat(team), command: nil)
            try state.storeSealed(id, chat: team, clientMessageID: 1, [1])
            _ = try state.storeSent(id, place(2, 1), by: account)
            try state.storeReceipt(chat: team, user: UserID(2), delivered: 2, read: 0, version: 1)
            return id
        }
        #expect(try state.stage(of: id) == .delivered)
        try state.transaction { try state.applyDeletion(team, [2], forEveryone: true) }
        #expect(try state.stage(of: id) == .delivered)
        try state.transaction { try state.storeReceipt(chat: team, user: UserID(2), delivered: 2, read: 2, version: 2) }
        #expect(try state.stage(of: id) == .read)
    }

    @Test func deletionsOfThisDeviceAreSent() throws {
        let now = Timestamp(milliseconds: 5)
        let ids = try state.transaction {
            _ = try state.storeReceived(entry(1), mailboxSeq: 1)
            _ = try state.storeReceived(entry(2), mailboxSeq: 2)
            return try [false, true].map {
                try state.enqueue("", to: "team", writtenAt: now, target: .chat(team), command: .delete(seqs: [$0 ? 2 : 1], forEveryone: $0))
            }
        }
        try state.transaction {
            for (number, id) in ids.enumerated() { try state.storeSealed(id, chat: team, clientMessageID: UInt64(number + 1), [1]) }
        }
        // What is deleted for oneself has its place in the notes.
        try state.transaction { _ = try state.storeSent(ids[0], place(1, 1, chat: ChatID(900)), by: account) }
        #expect(try state.history(chat: team).map(\.kind) == [.deleted(forEveryone: false), .message])
        try state.transaction { _ = try state.storeSent(ids[1], place(3, 2), by: account) }
        #expect(
            try state.history(chat: team).map(\.kind) == [.deleted(forEveryone: false), .deleted(forEveryone: true), .deletion([2])])
        #expect(try ids.allSatisfy { try state.stage(of: $0) == .sent })
        // Once more, which changes nothing here.
        let again = try state.transaction {
            let id = try state.enqueue("", to: "team", writtenAt: now, target: .chat(team), command: .delete(seqs: [1], forEveryone: false))
            try state.storeSealed(id, chat: team, clientMessageID: 3, [1])
            return id
        }
        #expect(try state.stage(of: again) == .queued)
        try state.transaction { _ = try state.storeSent(again, place(2, 3, chat: ChatID(900)), by: account) }
        #expect(try state.stage(of: again) == .sent)
        #expect(try state.stage(of: again + 1) == nil)
        #expect(try state.chats().map(\.chat) == [team], "the notes are nobody's chat")
    }

    // MARK: Damage

    @Test(arguments: [(1, "ff"), (1, ""), (2, "0aff"), (9, "")]) func aDamagedRowIsNoMessage(kind: Int, event: String) throws {
        try state.transaction { _ = try state.storeReceived(entry(1), mailboxSeq: 1) }
        let path = scratch.directory.path + "/client.db"
        try Database(path: path, access: .readWriteCreate).execute("UPDATE history SET kind = \(kind), event = x'\(event)'")
        let shown = try #require(try state.history(chat: team).first)
        #expect(shown.kind == .message && shown.text == nil && shown.problem == HistoryEntry.damaged)
    }

    // MARK: Stages in a group

    @Test func allMembersOfThatTimeCount() throws {
        try apply(change(.create, [1, 3]), at: 1)
        let id = try state.transaction {
            let id = try state.enqueue("text", to: "team", writtenAt: Timestamp(milliseconds: 5), target: .chat(team), command: nil)
            try state.storeSealed(id, chat: team, clientMessageID: 1, [1])
            _ = try state.storeSent(id, place(2, 1), by: account)
            try state.storeReceipt(chat: team, user: UserID(2), delivered: 2, read: 2, version: 1)
            return id
        }
        #expect(try state.stage(of: id) == .sent)
        // A newcomer never gets it, and is not waited for.
        try apply(change(.add, [4]), at: 3)
        #expect(try state.transaction { try state.groupsWithOpenReceipts(limit: 9) } == [team])
        try state.transaction { try state.storeReceipt(chat: team, user: UserID(3), delivered: 2, read: 0, version: 2) }
        #expect(try state.stage(of: id) == .delivered)
        try state.transaction { try state.storeReceipt(chat: team, user: UserID(3), delivered: 2, read: 2, version: 3) }
        #expect(try state.stage(of: id) == .read)
        #expect(try state.transaction { try state.groupsWithOpenReceipts(limit: 9) } == [])
    }

    // MARK: Gaps and announcements

    @Test func gapMarkers() throws {
        try state.transaction {
            _ = try state.storeReceived(entry(1), mailboxSeq: 1)
            _ = try state.storeReceived(entry(4), mailboxSeq: 4)
            try state.storeGone(team, upTo: 10, mailboxSeq: 5)
            _ = try state.storeReceived(entry(11), mailboxSeq: 11)
        }
        #expect(
            try state.gapRecords(chat: team) == [
                GapRecord(chat: team, places: 2...3, gone: true), GapRecord(chat: team, places: 5...10, gone: true),
            ])
        #expect(try state.gaps(in: team).isEmpty)
        #expect(try state.cursor() == 11)
        #expect(try state.lateArrivals() == 0)
        // A marker below what is known already says nothing new.
        try state.transaction { try state.storeGone(team, upTo: 6, mailboxSeq: 12) }
        #expect(try state.gapRecords(chat: team).map(\.places) == [2...3, 5...10])
    }

    @Test func aMarkerBeforeTheMembershipIsNone() throws {
        try state.transaction {
            try state.storeGroup(team, members: [(me, .member)], at: 60, joined: 50, left: 0)
            try state.storeGone(team, upTo: 55, mailboxSeq: 1)
        }
        #expect(try state.gapRecords().map(\.places) == [50...55])
    }

    /// What is fetched never moves the cursor, and passes own messages.
    @Test func fetchedPages() throws {
        try state.transaction {
            try state.announce(team, 4)
            let announced = try state.announced()
            #expect(announced == [team: 4])
            let id = try state.enqueue("own", to: "team", writtenAt: Timestamp(milliseconds: 5), target: .chat(team), command: nil)
            try state.storeSealed(id, chat: team, clientMessageID: 1, [1])
            let own = SentPlace(chat: team, clientMessageID: 1, message: MessageID(1002), chatSeq: 2, sentAt: Timestamp(milliseconds: 6))
            _ = try state.storeSent(id, own, by: account)
            for seq in UInt64(1)...4 { _ = try state.storeReceived(entry(seq), mailboxSeq: nil) }
            let highest = try state.highest(team)
            #expect(highest == 4)
            try state.announce(team, 5)
            try state.fetched(team, upTo: 4)
            let left = try state.announced()
            #expect(left == [team: 5], "what was announced meanwhile is still to be fetched")
        }
        #expect(try state.cursor() == 0)
        #expect(try state.gapRecords().isEmpty)
        #expect(try state.history(chat: team).map(\.text) == ["text", "own", "text", "text"])
    }

    // MARK: Migration

    /// A state of the first version keeps all it has.
    @Test func aStateOfTheFirstVersion() throws {
        let old = try Scratch()
        let path = old.path + "/old.db"
        let database = try EarlierStates.firstVersion(path)
        try database.execute(
            """
            INSERT INTO chats (id, highest_seq) VALUES (5, 3);
            INSERT INTO members VALUES (5, 1), (5, 2);
            INSERT INTO history VALUES (5, 3, 99, 2, 21, 7, 10, 9, 'kept', NULL, NULL);
            INSERT INTO gaps VALUES (5, 2, 2);
            INSERT INTO outbox (recipient, text, written_at) VALUES ('bob', 'waits', 4);
            INSERT INTO dead_letters VALUES (9, 'bob', 'dead', 4, 'recipient_gone', 'gone');
            """)
        try StateSchema.migrate(database, path: path)
        let kept = try database.text("SELECT text FROM history WHERE kind = 0 AND chat_id = 5")
        let waiting = try database.integer("SELECT count(*) FROM outbox WHERE command IS NULL AND target IS NULL")
        let gaps = try database.integer("SELECT count(*) FROM gaps WHERE gone = 0")
        let direct = try database.integer("SELECT kind FROM chats WHERE id = 5")
        #expect(kept == "kept" && waiting == 1 && gaps == 1 && direct == 0)
    }
}
