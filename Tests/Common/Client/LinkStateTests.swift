import Foundation
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayClient

/// What one device gives another, from state to state, without a relay.
@Suite struct LinkStateTests {
    let scratch: Scratch
    let other: Scratch
    let old: ClientState
    let new: ClientState
    let chat = ChatID(500)
    let team = ChatID(600)

    init() throws {
        (scratch, other) = (try Scratch(), try Scratch())
        (old, _) = try ClientState.create(scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy())
        try old.completeEnrolment(user: UserID(1), name: "alice", device: DeviceID(11))
        (new, _) = try ClientState.create(other.directory, relay: "http://127.0.0.1:1", deviceName: "laptop", entropy: SystemEntropy())
    }

    private func key(_ number: UInt64) -> [UInt8] { [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 32) }

    private func entry(_ chat: ChatID, _ seq: UInt64, key: [UInt8]?, hidden: Bool = false) -> HistoryEntry {
        var entry = HistoryEntry(
            chat: chat, chatSeq: seq, message: MessageID(1000 + seq), senderUser: UserID(2), senderDevice: DeviceID(21), clientMessageID: seq,
            sentAt: Timestamp(milliseconds: 5), writtenAt: nil, text: "text \(seq)", problem: nil)
        entry.hidden = hidden
        entry.contentKey = key
        return entry
    }

    private func device(_ id: UInt64, of user: UInt64, active: Bool = true, name: String = "phone") -> KnownDevice {
        KnownDevice(id: DeviceID(id), user: UserID(user), name: name, identityKey: key(id), agreementKey: key(id + 1), active: active)
    }

    /// Everything, part by part, as the wire would carry it; each fits a request.
    private func give(history: Bool) throws -> (parts: Int, ends: [ChatID: UInt64], summary: Relay_Client_V1_LinkSummary) {
        var archive = LinkArchive(history: history)
        var ends: [ChatID: UInt64] = [:]
        var parts = 0
        while !archive.isDone {
            let part = try old.transaction { try archive.next(old) }
            let bytes: [UInt8] = try part.serializedBytes()
            #expect(bytes.count + LinkHandshake.partOverhead <= Limits.linkPartBytes)
            #expect(part.hasSummary == (parts == 0))
            let read = try Relay_Client_V1_LinkPart(serializedBytes: bytes)
            for chat in read.chats where chat.lastSeq > 0 { ends[ChatID(chat.chatID)] = chat.lastSeq }
            try new.transaction { try new.store(read) }
            parts += 1
        }
        try new.transaction { try new.finishLinking(ends) }
        return (parts, ends, archive.summary)
    }

    private func fill() throws {
        try old.transaction {
            try old.store(user: UserID(1), name: "alice", displayName: "Alice", devices: [device(11, of: 1)])
            try old.store(user: UserID(2), name: "bob", displayName: "", devices: [device(21, of: 2), device(22, of: 2)])
            try old.storeFormer(device(20, of: 2, active: false))
            try old.storeChat(chat, members: [UserID(1), UserID(2)])
            try old.storeGroup(team, members: [(UserID(1), .owner), (UserID(2), .member)], at: 3, joined: 1, left: 0)
            try old.run("UPDATE chats SET title = 'team' WHERE id = 600")
            try old.storeRead(chat, 2)
            for seq in UInt64(1)...4 {
                _ = try old.storeReceived(entry(chat, seq, key: seq == 3 ? nil : key(seq), hidden: seq == 4), mailboxSeq: seq)
            }
            _ = try old.storeReceived(entry(team, 7, key: key(77)), mailboxSeq: 10)
        }
        try old.verify(UserID(2), at: Timestamp(milliseconds: 99))
    }

    @Test func peopleChatsAndKeys() throws {
        try fill()
        let given = try give(history: true)
        #expect(given.summary.people == 2 && given.summary.chats == 2 && given.summary.keys == 3)
        #expect(given.ends == [chat: 4, team: 7])
        #expect(try old.transaction { try old.messagesWithoutKey() } == 1)
        #expect(try new.devices(of: UserID(2)) == old.devices(of: UserID(2)))
        #expect(try new.verification(of: UserID(2)) == .yes(since: Timestamp(milliseconds: 99)))
        try new.completeEnrolment(user: UserID(1), name: "alice", device: DeviceID(12))
        #expect(try new.chat(with: "bob") == chat)
        #expect(try new.findGroup("team") == .chat(team))
        #expect(try new.members(of: team) == old.members(of: team))
        try new.transaction { () throws -> Void in
            #expect(try new.announced() == [chat: 4, team: 7])
            #expect(try new.highest(chat) == 0)
            // Not that of what the person does not see.
            for (seq, expected) in [(1, key(1)), (2, key(2)), (3, nil), (4, nil)] as [(UInt64, [UInt8]?)] {
                #expect(try new.hasGivenKey(chat, seq) == (expected != nil))
                #expect(try new.takeGivenKey(chat, seq) == expected)
                #expect(try new.takeGivenKey(chat, seq) == nil)
            }
            #expect(try new.takeGivenKey(team, 7) == key(77))
        }
    }

    @Test func withoutTheHistoryThereAreNoKeys() throws {
        try fill()
        let given = try give(history: false)
        #expect(given.summary.keys == 0 && given.ends.isEmpty)
        try new.transaction { () throws -> Void in
            #expect(try new.announced().isEmpty)
            #expect(try !new.hasGivenKey(chat, 1))
        }
        #expect(try new.findGroup("team") == .chat(team))
    }

    @Test func nothingToGiveIsOnePart() throws {
        let given = try give(history: true)
        #expect(given.summary.people == 0 && given.parts >= 1)
    }

    @Test func theLargestChatsAndPeopleFitTheirParts() throws {
        try old.transaction {
            let highest = UInt64(Int64.max)
            let name = String(repeating: "ü", count: Limits.deviceNameCharacters)
            for user in 0..<4 as Range<UInt64> {
                let devices = (0..<UInt64(Limits.devicesPerUserCeiling)).map { device(highest - 1000 * user - $0, of: highest - user, name: name) }
                try old.store(
                    user: UserID(highest - user), name: String(repeating: "n", count: 60) + "\(user)",
                    displayName: String(repeating: "ü", count: Limits.displayNameCharacters), devices: devices)
                for former in 0..<200 as Range<UInt64> {
                    try old.storeFormer(device(highest - 1000 * user - 100 - former, of: highest - user, active: false, name: name))
                }
            }
            for group in 0..<6 as Range<UInt64> {
                let members = (0..<UInt64(Limits.chatMembers)).map { (user: UserID(highest - $0), role: GroupRole.admin) }
                try old.storeGroup(ChatID(highest - group), members: members, at: highest, joined: highest, left: 0)
                try old.run("UPDATE members SET joined_seq = ?") { $0.bind(1, highest) }
                try old.run("UPDATE chats SET title = ?") { $0.bind(1, String(repeating: "ü", count: Limits.groupTitleCharacters)) }
            }
            // One key a chat takes the most room.
            for chat in 0..<1500 as Range<UInt64> { try old.insertHistory(entry(ChatID(highest - 100 - chat), highest - chat, key: key(chat))) }
        }
        let given = try give(history: true)
        #expect(given.parts > 5 && given.summary.keys == 1500)
        #expect(try new.devices(of: UserID(UInt64(Int64.max))).count(where: \.active) == Limits.devicesPerUserCeiling)
    }

    /// The devices of a link know one another from itself.
    @Test func whatIsPinnedStays() throws {
        try fill()
        let pinned = KnownDevice(id: DeviceID(11), user: UserID(1), name: "", identityKey: key(11), agreementKey: [], active: false)
        try new.transaction { try new.pin(pinned) }
        _ = try give(history: false)
        #expect(try new.devices(of: UserID(1)) == [device(11, of: 1)])
        var part = Relay_Client_V1_LinkPart()
        part.people = [Relay_Client_V1_LinkedPerson()]
        part.people[0].userID = 1
        part.people[0].devices = [Relay_Client_V1_PinnedDevice()]
        part.people[0].devices[0].deviceID = 11
        part.people[0].devices[0].identityKey = Data(key(99))
        #expect(throws: ClientError.self) { try new.transaction { try new.store(part) } }
        #expect(try new.devices(of: UserID(1)) == [device(11, of: 1)])
        var cut = Relay_Client_V1_LinkPart()
        cut.keys = [Relay_Client_V1_ChatKeys()]
        cut.keys[0].chatSeqs = [1, 2]
        cut.keys[0].keys = Data(key(1))
        #expect(throws: ClientError.self) { try new.transaction { try new.store(cut) } }
    }

    // MARK: Keys of a device's own messages

    @Test func aKeyGoesWithItsMessage() throws {
        let secret = (0..<32).map { _ in UInt8.random(in: 0...255) }
        try old.transaction { _ = try old.storeReceived(entry(chat, 1, key: secret), mailboxSeq: 1) }
        try old.emptyLog()
        func bytes() throws -> Data { try Data(contentsOf: URL(filePath: scratch.directory.databasePath)) }
        #expect(try bytes().range(of: Data(secret)) != nil)
        try old.transaction { try old.applyDeletion(chat, [1], forEveryone: false) }
        try old.emptyLog()
        #expect(try bytes().range(of: Data(secret)) == nil)
        // One that was given, and one that comes after its deletion.
        try old.transaction { () throws -> Void in
            var part = Relay_Client_V1_LinkPart()
            part.keys = [Relay_Client_V1_ChatKeys()]
            part.keys[0].chatID = chat.rawValue
            part.keys[0].chatSeqs = [2]
            part.keys[0].keys = Data(secret)
            try old.store(part)
            try old.applyDeletion(chat, [2, 3], forEveryone: true)
            #expect(try !old.hasGivenKey(chat, 2))
            _ = try old.storeReceived(entry(chat, 3, key: secret), mailboxSeq: 3)
        }
        try old.emptyLog()
        #expect(try bytes().range(of: Data(secret)) == nil)
    }

    @Test func theKeyOfASentMessageStays() throws {
        let account = try #require(try old.account())
        let ids = try old.transaction { [try old.enqueue("hello", to: "bob", writtenAt: Timestamp(milliseconds: 1))] }
        try old.transaction { try old.storeSealed(ids[0], chat: chat, clientMessageID: 1, [1, 2, 3], key: key(9)) }
        let place = SentPlace(chat: chat, clientMessageID: 1, message: MessageID(5), chatSeq: 1, sentAt: Timestamp(milliseconds: 2))
        try old.transaction { () throws -> Void in
            _ = try old.storeSent(ids[0], place, by: account)
            #expect(try old.linkedKeys(after: 0, 0, limit: 10).map(\.keys) == [Data(key(9))])
        }
    }

    // MARK: What is typed

    @Test func addresses() throws {
        let code = "061C-680B-QYP9-ERR8-VPMA-N84T-910V-M02X"
        let whole = try LinkAddress("http://127.0.0.1:8480/link#\(code)")
        #expect(whole.relay == "http://127.0.0.1:8480" && whole.text == "http://127.0.0.1:8480/link#\(code)")
        #expect(try LinkAddress(code.lowercased(), relay: "http://127.0.0.1:8480/") == whole)
        #expect(try LinkAddress(whole.text, relay: "http://127.0.0.1:8480") == whole)
        for (text, relay) in [
            ("", nil), (code, nil), (whole.text, "http://other:1"), ("http://h/enrol#\(code)", nil), ("http://h/link#", nil), ("http://h/link", nil),
            ("ftp://h/link#\(code)", nil), (code, "nonsense"),
            (code.replacingOccurrences(of: "0", with: "1"), "http://h"), (String(code.dropLast()), "http://h"),
        ] as [(String, String?)] {
            #expect("\(text) \(relay ?? "")") {
                _ = try LinkAddress(text, relay: relay)
            } throws: { error in
                if case ClientError.linkCode = error { true } else { false }
            }
        }
    }
}
