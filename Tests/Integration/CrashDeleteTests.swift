import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import RelayWire
import Testing

/// relayd is killed while something is deleted.
@Suite("Crashes during deletions") struct CrashDeleteTests {
    /// For everyone and for oneself, in a direct chat and in a group whose wrapped keys lie in rows of their own. Killed while the deletion is
    /// written, at its flush, and when its answer goes out; the client repeats it. It is wholly done or wholly not, and in the end done once.
    @Test(.timeLimit(.minutes(10))) func itIsWhollyDoneOrNotAtAll() async throws {
        var random = SeededGenerator(seed: CrashMatrixTests.seed("crashes during deletions"))
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let relay = try RelayProcess(logLevel: "warning", environment: faults.environment)
        try await relay.start()
        let people = try await DeletingPeople(on: relay, directory)
        var (done, undone) = (0, 0)
        // A commit is one write to the log, of which half is left, and a flush. The first answer goes to a socket. When others write too, later
        // ones are certain as well: a second commit, of what was acknowledged, and an answer or a delivery to each device.
        let moments: [(operation: Preload.Faults.Operation, file: Preload.Faults.File, passing: Int, busy: Bool)] = [
            (.write, .log, 0, false), (.flush, .log, 0, false), (.write, .socket, 0, false),
            (.write, .log, Int.random(in: 0...1, using: &random), true),
            [(.flush, .log, Int.random(in: 0...1, using: &random), true), (.write, .socket, Int.random(in: 0...3, using: &random), true)]
                .randomElement(using: &random) ?? (.flush, .log, 0, true),
        ]
        for moment in moments {
            for inGroup in [false, true] {
                for forEveryone in [false, true] {
                    let deletion = try await people.choose(inGroup: inGroup, forEveryone: forEveryone, &random)
                    faults.arm(.kill, moment.operation, on: moment.file, passing: moment.passing)
                    try await people.queue(deletion, whileOthersWrite: moment.busy)
                    #expect(await relay.ended() == .signalled(SIGKILL))
                    // Not before it was looked at what the crash has left.
                    try await deletion.by.goOffline()
                    faults.disarm()
                    try await relay.start()
                    switch try await people.standing(of: deletion) {
                    case .done: done += 1
                    case .undone: undone += 1
                    case .neither(let difference): Issue.record("\(deletion) after a kill at \(moment): \(difference)")
                    }
                    try await people.complete(deletion)
                }
            }
        }
        print("\(done + undone) kills, after which \(done) deletions were done and \(undone) not")
        #expect(done > 0 && undone > 0)
        let violations = try await people.finish()
        #expect(violations.isEmpty, "\(violations.count): \(violations.prefix(20).joined(separator: "\n"))")
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
        let traces = try people.traces(in: relay)
        #expect(traces.isEmpty, "\(traces.joined(separator: "\n"))")
    }
}

/// Three people with several devices, their two chats, and what must stand in them. Confined to the task that runs the test.
final class DeletingPeople: @unchecked Sendable {
    struct Place: Hashable, Comparable, CustomStringConvertible {
        var chat: UInt64
        var seq: UInt64
        static func < (left: Place, right: Place) -> Bool { (left.chat, left.seq) < (right.chat, right.seq) }
        var description: String { "\(chat)/\(seq)" }
    }

    struct Message {
        var text: String
        var author: TestDevice
        var sent: SentPlace
        /// As the relay stored it.
        var body: [UInt8] = []
        var deleted = false
        /// Users who deleted it for themselves.
        var hidden: Set<String> = []
    }

    struct Deletion: CustomStringConvertible {
        var places: [Place]
        var forEveryone: Bool
        var by: TestDevice
        /// What the authors were told before.
        var before: [Place: MessageStatusRecord] = [:]
        var user: String { DeletingPeople.user(of: by.name) }
        var description: String { "the deletion of \(places) for \(forEveryone ? "everyone" : user)" }
    }

    enum Standing { case done, undone, neither(String) }

    /// What a user's devices get of the messages, and every order to delete with the number of its envelopes.
    private struct View: Equatable {
        var messages: [Place: String] = [:]
        var orders: [String: Int] = [:]
    }

    private let relay: RelayProcess
    private let devices: [String: TestDevice]
    /// By user: devices that never acknowledge, so that they can read their mailbox from its beginning at any time.
    private let witnesses: [String: WireReader]
    /// Members of the group who come at the end.
    private let silent: [WireReader]
    private var messages: [Place: Message] = [:]
    private var orders: [String: [String: Int]] = [:]
    /// What was written beside the deletions, and which users must have it.
    private var besides: [String: Set<String>] = [:]
    private let direct: UInt64
    private let group: UInt64

    private static func user(of device: String) -> String { String(device.prefix { $0 != "." }) }

    init(on relay: RelayProcess, _ directory: TemporaryDirectory) async throws {
        self.relay = relay
        var devices: [String: TestDevice] = [:]
        var witnesses: [String: WireReader] = [:]
        for (user, names) in [("ada", ["phone", "laptop"]), ("ben", ["phone", "laptop"]), ("cleo", ["phone"])] {
            _ = try await relay.control.call(UserAdd(user: user, noLimits: true))
            for name in names {
                let full = "\(user).\(name)"
                let link = try await relay.control.call(InviteCreate(user: user)).link
                devices[full] = try await TestDevice(name: full, link: link, directory: StateDirectory(directory.file(full)))
                // Ben's laptop stays away until the end.
                if full != "ben.laptop" { try await devices[full]?.goOnline() }
            }
            witnesses[user] = try await Self.enrol("\(user).witness", on: relay)
        }
        silent = try await WireReader.newUsers((0..<Limits.keyRowMembers).map { "silent\($0)" }, on: relay)
        (self.devices, self.witnesses) = (devices, witnesses)
        guard let ada = devices["ada.phone"], let ben = devices["ben.phone"], let cleo = devices["cleo.phone"] else {
            throw SupportFailure("there are no phones")
        }

        func send(_ count: Int, from device: TestDevice, _ what: String, _ send: ([String]) async throws -> [Int64]) async throws -> [Place: Message]
        {
            let texts = (0..<count).map { "\(device.name) wrote number \($0) \(what)" }
            let ids = try await send(texts)
            try await device.session.wait(for: ids, .sent, timeout: .seconds(300))
            var found: [Place: Message] = [:]
            for (id, text) in zip(ids, texts) {
                guard let sent = device.log.answers.last(where: { $0.id == id })?.place else { throw SupportFailure("“\(text)” was not sent") }
                found[Place(chat: sent.chat.rawValue, seq: sent.chatSeq)] = Message(text: text, author: device, sent: sent)
            }
            return found
        }
        let ids = try await ada.session.createGroup("the crew", with: ["ben", "cleo"] + silent.map { Self.user(of: $0.name) })
        try await ada.session.wait(for: ids, .sent, timeout: .seconds(300))
        guard let created = ada.log.answers.first(where: { $0.id == ids[0] })?.place.chat else { throw SupportFailure("there is no group") }
        try await cleo.wait(for: "the group") { log in log.changes.contains { $0.chatSeq == 2 } }
        var all = try await send(24, from: ada, "to ben") { try await ada.session.send($0, to: "ben") }
        guard let chat = all.keys.first?.chat else { throw SupportFailure("there is no chat") }
        (group, direct) = (created.rawValue, chat)
        all.merge(try await send(16, from: ben, "to ada") { try await ben.session.send($0, to: "ada") }) { first, _ in first }
        all.merge(try await send(24, from: ada, "to all") { try await ada.session.send($0, toGroup: .chat(created)) }) { first, _ in first }
        all.merge(try await send(16, from: cleo, "to all") { try await cleo.session.send($0, toGroup: .chat(created)) }) { first, _ in first }
        messages = all

        // Everything has come and was read before anything is deleted.
        for (device, count) in [("ada.phone", 32), ("ada.laptop", 80), ("ben.phone", 64), ("cleo.phone", 24)] {
            try await devices[device]?.wait(for: "\(count) messages") { $0.received.count >= count }
        }
        try await ben.session.markRead(ChatID(direct), 40)
        try await ada.session.wait(for: ada.log.answers.filter { $0.place.chat.rawValue == chat }.map(\.id), .read, timeout: .seconds(300))
        let everything = witnesses
        let bodies = try await blocking { try everything.values.flatMap { try $0.mailboxFromTheBeginning() } }
        for envelope in bodies { messages[Place(chat: envelope.chatID, seq: envelope.chatSeq)]?.body = Array(envelope.body) }
    }

    private static func enrol(_ name: String, on relay: RelayProcess) async throws -> WireReader {
        let code = try await relay.control.call(InviteCreate(user: user(of: name))).code
        let port = relay.port
        return try await blocking { WireReader(name: name, try WireDevice(port: port, code: code)) }
    }

    // MARK: A deletion

    /// Ada deletes for everyone, in the group what Cleo wrote as well, as its owner may; Ben for himself. Two messages are still there, a third one
    /// may not be.
    func choose(inGroup: Bool, forEveryone: Bool, _ random: inout SeededGenerator) async throws -> Deletion {
        guard let by = devices[forEveryone ? "ada.phone" : "ben.phone"] else { throw SupportFailure("nobody can delete") }
        var deletion = Deletion(places: [], forEveryone: forEveryone, by: by)
        let chat = inGroup ? group : direct
        let allowed = messages.filter { place, message in place.chat == chat && (inGroup || !forEveryone || message.author === by) }
        let there = allowed.filter { !$0.value.deleted && !$0.value.hidden.contains(deletion.user) }.keys.sorted().shuffled(using: &random).prefix(2)
        let any = allowed.keys.sorted().shuffled(using: &random).prefix(1)
        deletion.places = Set(there + any).sorted()
        for place in deletion.places { deletion.before[place] = try await status(of: place) }
        return deletion
    }

    private func status(of place: Place) async throws -> MessageStatusRecord? {
        guard let message = messages[place] else { return nil }
        return try await message.author.session.status(of: message.sent.clientMessageID, in: message.sent.chat)
    }

    /// Hands it to the client; the relay will die of it.
    func queue(_ deletion: Deletion, whileOthersWrite busy: Bool) async throws {
        guard let chat = deletion.places.first?.chat else { return }
        if busy {
            for (name, other) in [("ben.phone", "ada"), ("cleo.phone", "ada")] where chat == group || name == "ben.phone" {
                let texts = (0..<3).map { "\(name) wrote besides, number \(besides.count + $0)" }
                for text in texts { besides[text] = chat == group ? ["ada", "ben", "cleo"] : [Self.user(of: name), other] }
                if chat == group {
                    try await devices[name]?.session.send(texts, toGroup: .chat(ChatID(chat)))
                } else {
                    try await devices[name]?.session.send(texts, to: other)
                }
            }
        }
        try await deletion.by.session.delete(deletion.places.map(\.seq), in: ChatID(chat), forEveryone: deletion.forEveryone)
    }

    /// What is left of it, as those see it who read everything anew.
    func standing(of deletion: Deletion) async throws -> Standing {
        let before = expected()
        let (messages, orders) = (messages, orders)
        carryOut(deletion)
        let after = expected()
        (self.messages, self.orders) = (messages, orders)
        let found = try await views()
        if found == after { return .done }
        return found == before ? .undone : .neither(Self.difference(found, before) + "; or " + Self.difference(found, after))
    }

    /// The client comes back and repeats it; what it wanted is done then, once, and what the authors are told is still true.
    func complete(_ deletion: Deletion) async throws {
        try await deletion.by.goOnline()
        try await deletion.by.session.waitUntilSent(timeout: .seconds(300))
        carryOut(deletion)
        let (found, wanted) = (try await views(), expected())
        guard found == wanted else { throw SupportFailure("\(deletion), repeated: \(Self.difference(found, wanted))") }
        for (place, before) in deletion.before {
            guard let message = messages[place], let after = try await status(of: place) else { continue }
            guard after.deleted == message.deleted, after.place == message.sent, after.recipients == before.recipients,
                after.delivered >= before.delivered, after.read >= before.read,
                place.chat == group || (after.delivered, after.read) == (1, before.read)
            else { throw SupportFailure("\(deletion): of \(place) the author was told \(before) and then \(after)") }
        }
    }

    private func carryOut(_ deletion: Deletion) {
        for place in deletion.places {
            if deletion.forEveryone { messages[place]?.deleted = true } else { messages[place]?.hidden.insert(deletion.user) }
        }
        let order = Self.order(
            deletion.places.first?.chat ?? 0, deletion.places.map(\.seq), in: deletion.forEveryone ? deletion.places.first?.chat ?? 0 : nil)
        for user in witnesses.keys where sees(user, deletion) { orders[user, default: [:]][order, default: 0] += 1 }
    }

    private func sees(_ user: String, _ deletion: Deletion) -> Bool {
        guard deletion.forEveryone else { return user == deletion.user }
        return user != "cleo" || deletion.places.first?.chat == group
    }

    private static func order(_ chat: UInt64, _ seqs: [UInt64], in own: UInt64?) -> String {
        "\(seqs) of chat \(chat), \(own == chat ? "for everyone" : "for me")"
    }

    // MARK: What stands where

    private func expected() -> [String: View] {
        var views: [String: View] = [:]
        for user in witnesses.keys {
            var view = View(orders: orders[user] ?? [:])
            for (place, message) in messages where user != "cleo" || place.chat == group {
                view.messages[place] = Self.content(of: message, for: user)
            }
            views[user] = view
        }
        return views
    }

    private static func content(of message: Message, for user: String) -> String {
        message.deleted || message.hidden.contains(user) ? "\(WireReader.Content.deleted)" : "\(WireReader.Content.message(message.text))"
    }

    /// From the mailboxes' beginnings, without what was written besides.
    private func views() async throws -> [String: View] {
        let (witnesses, besides) = (witnesses, besides)
        return try await blocking {
            try witnesses.mapValues { witness in
                var view = View()
                for envelope in try witness.mailboxFromTheBeginning() {
                    let place = Place(chat: envelope.chatID, seq: envelope.chatSeq)
                    switch try witness.content(of: envelope) {
                    case .change: break
                    case .deletion(let chat, let seqs): view.orders[Self.order(chat, seqs, in: envelope.chatID), default: 0] += 1
                    case .message(let text) where besides[text] != nil: break
                    case let content:
                        if let other = view.messages.updateValue("\(content)", forKey: place) {
                            throw SupportFailure("\(place) came twice: \(other)")
                        }
                    }
                }
                return view
            }
        }
    }

    private static func difference(_ found: [String: View], _ wanted: [String: View]) -> String {
        var lines: [String] = []
        for (user, view) in wanted.sorted(by: { $0.key < $1.key }) {
            guard let other = found[user], other != view else { continue }
            for place in Set(view.messages.keys).union(other.messages.keys).sorted() where view.messages[place] != other.messages[place] {
                lines.append("\(user) has \(other.messages[place] ?? "nothing") at \(place), not \(view.messages[place] ?? "nothing")")
            }
            for order in Set(view.orders.keys).union(other.orders.keys).sorted() where view.orders[order] != other.orders[order] {
                lines.append("\(user) has \(other.orders[order] ?? 0) orders to delete \(order), not \(view.orders[order] ?? 0)")
            }
        }
        return lines.isEmpty ? "no difference" : lines.joined(separator: ", ")
    }

    // MARK: The end

    /// Those who were away come back, a new device comes for the first time; gives every broken promise.
    func finish() async throws -> [String] {
        var found: [String] = []
        let deleted = messages.values.filter(\.deleted)
        for device in devices.values {
            try await device.session.waitUntilSent(timeout: .seconds(300))
            try await device.goOffline()
        }
        for (name, device) in devices.sorted(by: { $0.key < $1.key }) {
            try await device.goOnline()
            let (history, gaps) = try await device.session.read { state throws(ClientError) in (try state.history(), try state.gapRecords()) }
            for gap in gaps { found.append("\(name) misses the places \(gap.places) of \(gap.chat)") }
            found += device.violations() + device.log.dead.map { "\(name) was refused “\($0.text)”: \($0.code)" }
            found += check(history, of: name)
            if name == "ben.laptop" {
                // What was deleted for Ben or for everyone while it was away was never shown there.
                for message in messages.values where message.deleted || message.hidden.contains("ben") {
                    if device.log.received.contains(where: { $0.text == message.text }) { found.append("\(name) was shown “\(message.text)”") }
                }
            }
            try await device.close()
        }
        let newcomer = try await Self.enrol("ben.tablet", on: relay)
        let readers = [newcomer, silent[0], silent[Limits.keyRowMembers - 1]] + witnesses.values
        let bodies = Set(deleted.map(\.body))
        found += try await blocking {
            try readers.flatMap { reader in
                try
                    (reader.mailboxFromTheBeginning()
                    + reader.history(of: ["ada", "ben"].contains(Self.user(of: reader.name)) ? [self.direct, self.group] : [self.group]))
                    .filter { bodies.contains(Array($0.body)) }.map { "\(reader.name) got the deleted body of \($0.chatID)/\($0.chatSeq)" }
            }
        }
        let last = try await blocking { try readers.prefix(3).map { ($0.name, try $0.mailboxFromTheBeginning()) } }
        for (name, envelopes) in last {
            // They see everything but what was deleted, and every place of their chats.
            let user = Self.user(of: name)
            for (chat, own) in Dictionary(grouping: envelopes, by: \.chatID) where own.map(\.chatSeq) != Array(1...UInt64(own.count)) {
                found.append("\(name) got the places \(own.map(\.chatSeq)) of \(chat)")
            }
            for envelope in envelopes {
                guard let message = messages[Place(chat: envelope.chatID, seq: envelope.chatSeq)] else { continue }
                let gone = message.deleted || message.hidden.contains(user)
                if envelope.deleted != gone || Array(envelope.body) != (gone ? [] : message.body) {
                    found.append("\(name) got “\(message.text)” \(gone ? "though it was" : "as if it were") deleted")
                }
            }
        }
        return found
    }

    private func check(_ history: [HistoryEntry], of name: String) -> [String] {
        var found: [String] = []
        let user = Self.user(of: name)
        let entries = Dictionary(history.map { (Place(chat: $0.chat.rawValue, seq: $0.chatSeq), $0) }, uniquingKeysWith: { first, _ in first })
        for (place, message) in messages.sorted(by: { $0.key < $1.key }) where user != "cleo" || place.chat == group {
            let gone = message.deleted || message.hidden.contains(user)
            guard entries[place]?.text == (gone ? nil : message.text) else {
                found.append("\(name) has \(entries[place]?.text ?? "nothing") at \(place), where “\(message.text)” was \(gone ? "" : "not ")deleted")
                continue
            }
        }
        let texts = history.compactMap(\.text)
        for (text, users) in besides where users.contains(user) && texts.count(where: { $0 == text }) != 1 {
            found.append("\(name) misses “\(text)”")
        }
        return found
    }

    /// Of what was deleted for everyone nothing is in the store; of everything else, the body is.
    func traces(in relay: RelayProcess) throws -> [String] {
        var found: [String] = []
        let directory = URL(fileURLWithPath: relay.storePath).deletingLastPathComponent()
        let files = try FileManager.default.contentsOfDirectory(atPath: directory.path).filter { $0.hasPrefix("relay.db") }
        let contents = try files.map { try Data(contentsOf: directory.appending(path: $0)) }
        for (place, message) in messages {
            let body = Data(message.body)
            let kept = contents.contains { $0.range(of: body) != nil }
            if body.isEmpty || kept == message.deleted { found.append("the store has \(kept ? "the" : "no") body of \(place)") }
        }
        let database = try Database(path: relay.storePath, access: .readOnly)
        for (place, message) in messages where place.chat == group {
            let rows = try database.integer("SELECT count(*) FROM message_keys WHERE chat_id = \(place.chat) AND seq = \(place.seq)") ?? 0
            if (rows == 0) != message.deleted { found.append("there are \(rows) rows with keys of \(place)") }
        }
        return found
    }
}
