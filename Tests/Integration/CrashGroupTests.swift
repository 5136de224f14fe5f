import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import RelayWire
import Testing

/// relayd is killed while messages of a group are committed or copied to its members, and members come and go.
@Suite("Crashes in groups") struct CrashGroupTests {
    struct Size: Sendable, CustomStringConvertible {
        /// Members beside those who write.
        var others: Int
        /// How many of these are connected when the relay dies.
        var connected: Int
        var rounds: Int
        var description: String { others == 0 ? "a small group" : "a group with \(others) silent members" }
    }

    /// Those of more than 32 members have their wrapped keys in rows of their own, unless so many are removed that they fit into the message's again.
    /// With two event loops the largest one's copies go out in slices.
    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            Size(others: 0, connected: 0, rounds: 10), Size(others: 40, connected: 16, rounds: 5),
            Size(others: 130, connected: 2 * Limits.fanOutSlice, rounds: 2),
        ])
    func whileMessagesFanOut(size: Size) async throws {
        var random = SeededGenerator(seed: CrashMatrixTests.seed("crashes while messages fan out in \(size)"))
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: faults.environment)
        try await relay.start()
        let group = try await CrashedGroup(on: relay, directory, size)
        for round in 0..<size.rounds {
            // The log is written while sends are committed, and flushed at the end of each commit; sockets are written after it, one copy each.
            let (operation, file, passing): (Preload.Faults.Operation, Preload.Faults.File, ClosedRange<Int>) =
                switch round % 4 {
                case 0: (.write, .socket, 0...40 + size.others)
                case 1: (.write, .log, 0...20)
                case 2: (.flush, .log, 0...20)
                default: (.write, .socket, 20...150 + size.others)
                }
            try await group.prepare(&random)
            let changes = group.someChanges(&random)
            let beforeTheKill = Int.random(in: passing, using: &random)
            try await group.write(while: changes) {
                faults.arm(.kill, operation, on: file, passing: beforeTheKill)
                #expect(await relay.ended() == .signalled(SIGKILL))
                // More than one when two threads came by before the signal did.
                #expect(faults.struck >= 1)
                faults.disarm()
            }
        }
        let violations = try await group.finish()
        #expect(violations.isEmpty, "\(violations.count): \(violations.prefix(20).joined(separator: "\n"))")
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }
}

/// A group whose members write all at once, over as many lives of the relay as it takes, and what a ``HistoryChecker`` must know of it.
/// Confined to the task that runs the test.
final class CrashedGroup: @unchecked Sendable {
    /// A change of members that the round asks for.
    struct Change {
        var action: GroupAction
        var users: [String]
        var by: TestDevice
    }

    private let relay: RelayProcess
    private let owner: TestDevice
    /// Those who write, and some of whose users have two.
    private let devices: [TestDevice]
    /// The first ones are connected while the relay dies; the others come once, at the end.
    private let readers: [WireReader]
    private let mayConnect: Int
    private let chat: ChatID
    private let userIDs: [String: UInt64]
    private var members: Set<String>
    private var away: TestDevice?
    private var connected: [WireReader] = []
    /// What each device wrote, under the numbers of its outbox; of changes, what they say.
    private var texts: [String: [Int64: String]] = [:]
    private var changes: [(change: Change, id: Int64)] = []
    private var kills = 0

    init(on relay: RelayProcess, _ directory: TemporaryDirectory, _ size: CrashGroupTests.Size) async throws {
        (self.relay, mayConnect) = (relay, size.connected)
        var devices: [TestDevice] = []
        for (user, names) in [
            ("ada", ["phone", "laptop"]), ("ben", ["phone", "laptop"]), ("cleo", ["phone"]), ("dan", ["phone", "laptop"]), ("eve", ["phone"]),
            ("fay", ["phone", "laptop"]),
        ] {
            _ = try await relay.control.call(UserAdd(user: user, noLimits: true))
            for name in names {
                let link = try await relay.control.call(InviteCreate(user: user)).link
                let device = try await TestDevice(
                    name: "\(user).\(name)", link: link, directory: StateDirectory(directory.file("\(user).\(name)")))
                try await device.goOnline()
                devices.append(device)
            }
        }
        readers = try await WireReader.newUsers((0..<size.others).map { "silent\($0)" }, on: relay)
        self.devices = devices
        owner = devices[0]
        var userIDs = Dictionary(devices.map { (Self.user(of: $0.name), $0.account.user.rawValue) }, uniquingKeysWith: { first, _ in first })
        for reader in readers { userIDs[Self.user(of: reader.name)] = reader.device.userNumber }
        self.userIDs = userIDs
        members = Set(userIDs.keys)

        let invited = userIDs.keys.filter { $0 != "ada" }.sorted()
        let ids = try await owner.session.createGroup("the crew", with: invited)
        try await owner.session.wait(for: ids, .sent, timeout: .seconds(300))
        guard let place = owner.log.answers.first(where: { $0.id == ids[0] })?.place else { throw SupportFailure("there is no group") }
        chat = place.chat
        texts[owner.name] = [ids[0]: Self.text(.create, invited.compactMap { userIDs[$0] }), ids[1]: Self.text(.rename, [])]
        for device in devices.dropFirst() { try await device.wait(for: "the group") { log in log.changes.contains { $0.chatSeq == 2 } } }
    }

    private static func user(of device: String) -> String { String(device.prefix { $0 != "." }) }
    private static func text(_ action: GroupAction, _ users: [UInt64]) -> String { "\(action) \(users.sorted())" }

    // MARK: Rounds

    /// One device goes offline, or its program ends, and some readers connect.
    func prepare(_ random: inout SeededGenerator) async throws {
        away = devices.dropFirst().randomElement(using: &random)
        if Bool.random(using: &random) { try await away?.close() } else { try await away?.goOffline() }
        let some = readers.prefix(mayConnect).filter { members.contains(Self.user(of: $0.name)) }
        try await blocking { for reader in some { try reader.connect() } }
        connected = some
    }

    /// What the members of this moment may do to the group, for disjoint users. The owner stays.
    func someChanges(_ random: inout SeededGenerator) -> [Change] {
        var changes: [Change] = []
        let writers = Set(devices.map { Self.user(of: $0.name) })
        let out = Set(userIDs.keys).subtracting(members).sorted().filter { _ in Int.random(in: 0..<4, using: &random) > 0 }
        if !out.isEmpty { changes.append(Change(action: .add, users: out, by: owner)) }
        // Enough of the silent ones that the rest, with all who write, are few.
        let silent = members.subtracting(writers).sorted().shuffled(using: &random)
        if silent.count == readers.count, silent.count > 16 {
            changes.append(Change(action: .remove, users: Array(silent.prefix(18)).sorted(), by: owner))
        }
        let mayGo = devices.filter { $0 !== away && Self.user(of: $0.name) != "ada" && members.contains(Self.user(of: $0.name)) }
        if members.intersection(writers).count > 3, let leaver = mayGo.randomElement(using: &random) {
            let leaves = Bool.random(using: &random)
            changes.append(Change(action: leaves ? .leave : .remove, users: [Self.user(of: leaver.name)], by: leaves ? leaver : owner))
        }
        return changes.shuffled(using: &random)
    }

    /// All who are members write until `crash` returns, and the changes are made meanwhile; then the relay is started again, and everything is
    /// answered.
    func write(while asked: [Change], _ crash: @Sendable () async throws -> Void) async throws {
        let stop = CrashTests.Flag()
        let (relay, chat, reading) = (relay, chat, connected)
        let writers = devices.filter { $0 !== away && members.contains(Self.user(of: $0.name)) }
        var written: [(device: TestDevice, texts: [Int64: String])] = []
        var queued: [(change: Change, id: Int64)] = []
        let round = kills
        do {
            try await withThrowingTaskGroup(of: (TestDevice, [Int64: String]).self) { tasks in
                defer { stop.raise() }
                for device in writers { tasks.addTask { (device, try await Self.write(device, to: chat, round, until: stop)) } }
                for change in asked { queued.append((change, try await Self.queue(change, chat))) }
                try await crash()
                stop.raise()
                try await blocking { for reader in reading { try reader.readToTheEnd() } }
                try await relay.start()
                for try await one in tasks { written.append(one) }
            }
        } catch {
            try await relay.kill()
            throw error
        }
        kills += 1
        for (device, some) in written { texts[device.name, default: [:]].merge(some) { first, _ in first } }
        for (change, id) in queued {
            try await change.by.session.wait(for: [id], .sent, timeout: .seconds(300))
            texts[change.by.name, default: [:]][id] = Self.text(change.action, change.users.compactMap { userIDs[$0] })
            if change.action == .add { members.formUnion(change.users) } else { members.subtract(change.users) }
        }
        changes += queued
        if let away {
            if (try? away.session) == nil { try away.reopen() }
            try await away.goOnline()
        }
    }

    /// A few messages at a time, until told to stop or no member any more; gives what was written under which number.
    private static func write(_ device: TestDevice, to chat: ChatID, _ round: Int, until stop: CrashTests.Flag) async throws -> [Int64: String] {
        var written: [Int64: String] = [:]
        let dead = device.log.dead.count
        while !stop.isRaised, device.log.dead.count == dead {
            let texts = (0..<2).map { "\(device.name) wrote number \(written.count + $0) of round \(round)" }
            let ids = try await device.session.send(texts, toGroup: .chat(chat))
            for (id, text) in zip(ids, texts) { written[id] = text }
            try await device.session.wait(for: ids, .sent, timeout: .seconds(300))
        }
        return written
    }

    private static func queue(_ change: Change, _ chat: ChatID) async throws -> Int64 {
        let session = try change.by.session
        switch change.action {
        case .add: return try await session.add(change.users, to: .chat(chat))
        case .remove: return try await session.remove(change.users, from: .chat(chat))
        case .leave: return try await session.leave(.chat(chat))
        default: throw SupportFailure("not a change of members")
        }
    }

    // MARK: The end

    /// Everybody takes what waits; gives every broken promise.
    func finish() async throws -> [String] {
        var found: [String] = []
        for device in devices {
            // Behind a whole mailbox everything has come, whatever was on its way.
            try await device.goOffline()
            try await device.goOnline()
            for gap in try await device.session.read({ state throws(ClientError) in try state.gapRecords() }) {
                found.append("\(device.name) misses the places \(gap.places)")
            }
            try await device.close()
            found += device.violations()
            found += letters(of: device)
        }
        let checker = HistoryChecker()
        report(to: checker)
        let readers = self.readers
        try await blocking {
            for reader in readers {
                try reader.connect()
                for envelope in reader.envelopes {
                    let text =
                        switch try reader.content(of: envelope) {
                        case .message(let text): text
                        case .change(let action, let users): Self.text(action, users)
                        case let other: "\(other)"
                        }
                    checker.delivered(
                        to: reader.name, HistoryChecker.Key(sender: "\(envelope.senderDeviceID)", clientMessageID: envelope.clientMessageID),
                        HistoryChecker.Place(chat: envelope.chatID, chatSeq: envelope.chatSeq, messageID: envelope.messageID), text: text)
                }
            }
        }
        print("\(kills) kills, \(checker.answeredCount) messages and changes answered, \(changes.count) changes of members")
        if checker.answeredCount < kills * 2 { found.append("only \(checker.answeredCount) messages were answered") }
        return found + checker.violations()
    }

    /// Only who was put out, or left, has messages that were refused.
    private func letters(of device: TestDevice) -> [String] {
        let wasOut = changes.contains { $0.change.action != .add && $0.change.users.contains(Self.user(of: device.name)) }
        return device.log.dead.compactMap { letter in
            wasOut && letter.command == nil && ["chat_unknown", "left_group"].contains(letter.code)
                ? nil : "\(device.name) was refused “\(letter.text)” (\(letter.command.map { "\($0)" } ?? "a message")): \(letter.code)"
        }
    }

    private func report(to checker: HistoryChecker) {
        for device in devices { checker.owns(Self.user(of: device.name), device: device.name) }
        for reader in readers { checker.owns(Self.user(of: reader.name), device: reader.name) }
        for user in userIDs.keys { checker.joined(user, group: chat.rawValue, at: 1) }
        var places: [(place: UInt64, change: Change)] = []
        for device in devices {
            for (id, place) in device.log.answers {
                let key = HistoryChecker.Key(sender: device.account.device.description, clientMessageID: place.clientMessageID)
                checker.wroteToGroup(key, text: texts[device.name]?[id] ?? "what the test never wrote", from: device.name)
                checker.answered(key, HistoryChecker.Place(place))
                if let change = changes.first(where: { $0.change.by === device && $0.id == id }) { places.append((place.chatSeq, change.change)) }
            }
            for entry in device.log.shown {
                let key = HistoryChecker.Key(sender: entry.senderDevice.description, clientMessageID: entry.clientMessageID)
                let text: String =
                    if case .change(let change) = entry.kind {
                        Self.text(change.action, change.users.map(\.rawValue))
                    } else {
                        entry.text ?? "unreadable: \(entry.problem ?? "")"
                    }
                checker.delivered(
                    to: device.name, key,
                    HistoryChecker.Place(chat: entry.chat.rawValue, chatSeq: entry.chatSeq, messageID: entry.message.rawValue), text: text)
            }
        }
        for (place, change) in places.sorted(by: { $0.place < $1.place }) {
            for user in change.users {
                if change.action == .add {
                    checker.joined(user, group: chat.rawValue, at: place)
                } else {
                    checker.left(user, group: chat.rawValue, at: place)
                }
            }
        }
    }
}
