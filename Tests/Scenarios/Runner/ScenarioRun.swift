import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayStorage
import RelayTestSupport

/// Plays one script against a real relay and real clients. Confined to the task that runs it.
final class ScenarioRun {
    private let script: Script
    private let directory: TemporaryDirectory
    private var limits: [String: Int] = [:]
    private var offlineAfter: Int?
    private var policy = ContactPolicy(everyone: true)
    private var relay: RelayProcess?
    private var relayRuns = false
    private var relayWasKilled = false
    private var devices: [DeviceName: TestDevice] = [:]
    private var online: Set<DeviceName> = []
    /// How much of what a device was shown the script has looked at.
    private var looked: [DeviceName: Int] = [:]
    private var lastSent: [DeviceName: [Int64]] = [:]
    private var written: [DeviceName: Int] = [:]
    private var lastLink: String?
    /// How many messages that a device could not read the script has looked at.
    var unreadable: [DeviceName: Int] = [:]
    /// Texts that a device must not have kept in any file.
    var lost: [DeviceName: [String]] = [:]
    /// The last message of each text that somebody deleted.
    var deleted: [String: HistoryEntry] = [:]

    /// No single step takes so long unless something is wrong.
    static let patience = Duration.seconds(300)

    init(_ script: Script) throws {
        self.script = script
        directory = try TemporaryDirectory()
    }

    /// Throws a ``ScenarioFailure`` for the first line that does not come true.
    func play() async throws {
        for line in script.lines {
            do {
                try await perform(line.sentence)
            } catch {
                await shutDown()
                throw ScenarioFailure(script: script.name, line: line.number, text: line.text, reason: "\(error)")
            }
        }
        do {
            try await finish()
        } catch {
            throw ScenarioFailure(script: script.name, line: script.lines.last?.number ?? 1, text: "(the end)", reason: "\(error)")
        }
    }

    private func shutDown() async {
        for device in devices.values { try? await device.close() }
        // What went wrong is known already.
        try? await relay?.kill()
    }

    /// What holds at the end of every scenario: nobody was shown anything twice or out of order; all devices have the same in the same places; what was
    /// deleted is in no file; the relay stops cleanly; and the commands that it applied, applied again to an empty store, give the same tables.
    private func finish() async throws {
        for device in devices.values { try await device.close() }
        var violations = devices.values.flatMap { $0.violations() }
        for (name, texts) in lost { violations += try traces(of: texts, of: name) }
        violations += try disagreements()
        guard let relay else { return }
        if relayRuns {
            let status = await relay.terminate()
            guard status == .exited(0) else {
                throw SupportFailure("relayd ended with \(status.map(String.init(describing:)) ?? "nothing")\n\(relay.standardError.suffix(2000))")
            }
        }
        guard violations.isEmpty else { throw SupportFailure(violations.joined(separator: "\n")) }
        // A kill can hit between a commit and its record.
        guard !relayWasKilled, let record = relay.recordPath else { return }
        let copy = directory.file("replayed.db")
        let count = try Replay.apply(record: record, toStoreAt: copy, batch: 7)
        guard count > 0 else { throw SupportFailure("the relay recorded no commands") }
        let original = try StoreDump.tables(ofStoreAt: relay.storePath)
        let replayed = try StoreDump.tables(ofStoreAt: copy)
        for (table, rows) in original where replayed[table] != rows {
            throw SupportFailure("the table \(table) differs when the \(count) recorded commands are applied to an empty store")
        }
    }

    /// Places of chats that two devices have filled differently.
    private func disagreements() throws -> [String] {
        struct Place: Hashable {
            var chat: ChatID
            var seq: UInt64
        }
        var known: [Place: (message: MessageID, text: String?, device: DeviceName)] = [:]
        var found: [String] = []
        for (name, device) in devices.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            for entry in try ClientState.inspect(device.directory).0.history() {
                let place = Place(chat: entry.chat, seq: entry.chatSeq)
                guard let other = known[place] else {
                    known[place] = (entry.message, entry.text, name)
                    continue
                }
                if other.message != entry.message || (other.text != nil && entry.text != nil && other.text != entry.text) {
                    found.append("\(name) and \(other.device) have something else at place \(entry.chatSeq) of chat \(entry.chat)")
                }
                if other.text == nil { known[place] = (entry.message, entry.text, name) }
            }
        }
        return found
    }

    // MARK: Sentences

    private func perform(_ sentence: Sentence) async throws {
        switch sentence {
        case .limit(let key, let value):
            guard relay == nil else { throw SupportFailure("limits come before the users, who start the relay") }
            limits[key] = value
        case .presenceEnds(let seconds):
            guard relay == nil else { throw SupportFailure("limits come before the users, who start the relay") }
            offlineAfter = seconds
        case .contactsMustAsk, .blocksKeepGroups, .blocksAreSecret:
            guard relay == nil else { throw SupportFailure("policies come before the users, who start the relay") }
            switch sentence {
            case .contactsMustAsk: policy.everyone = false
            case .blocksKeepGroups: policy.leavesGroups = false
            default: policy.tellsBlocked = false
            }
        case .users(let names):
            if relay == nil { try await startRelay() }
            for name in names { _ = try await running().chatctl.addUser(name) }
        case .devices(let names): for name in names { try await enrol(name) }
        case .enrols(let name): try await enrol(name)
        case .failsToEnrol(let name, let code):
            let link = try await running().chatctl.invite(name.user).link
            try await refuse(name, link, code)
        case .failsToEnrolAgain(let name, let code):
            guard let link = lastLink else { throw SupportFailure("no invite was used yet") }
            try await refuse(name, link, code)

        case .sends(let name, let text, let place): try await send(name, [text], to: place)
        case .sendsMany(let name, let count, let place):
            let first = written[name, default: 0]
            try await send(name, (first..<first + count).map { "\(name) message \($0)" }, to: place)
            written[name] = first + count
        case .failsToSend(let name, let text, let place, let code):
            try await expectDead(name, try await queue(name, [text], to: place), code)
        case .receives(let name, let text, let user, let group):
            let entry = try await next(1, name)[0]
            guard entry.text == text, entry.senderName == user, group == nil || entry.with == group && entry.inGroup else {
                throw SupportFailure("the next message is \(Self.describe(entry))")
            }
        case .receivesMany(let name, let count, let user, let group):
            for entry in try await next(count, name) where entry.senderName != user || (group != nil && (entry.with != group || !entry.inGroup)) {
                throw SupportFailure("among the messages is \(Self.describe(entry))")
            }
        case .has(let name, let count):
            let device = try device(name)
            try await device.wait(for: "\(count) messages", timeout: Self.patience) { $0.received.count >= count }
            let found = device.log.received.count
            guard found == count else { throw SupportFailure("\(name) was shown \(found) messages") }
            let violations = device.violations()
            guard violations.isEmpty else { throw SupportFailure(violations.joined(separator: "\n")) }
            looked[name] = count
        case .hasRead(let name, let user):
            let device = try device(name)
            guard let last = device.log.received.last(where: { $0.senderName == user }) else {
                throw SupportFailure("\(name) has nothing from \(user)")
            }
            try await device.session.markRead(last.chat, last.chatSeq)
        case .sees(let name, let watermark):
            guard let ids = lastSent[name] else { throw SupportFailure("\(name) has sent nothing yet") }
            let stage: SendStage = watermark == .read ? .read : .delivered
            try await device(name).session.wait(for: ids, stage, timeout: Self.patience)
            try await check(ids, name, isNotDead: stage)

        case .creates, .changes, .failsToChange, .knowsGroup, .seesMembers, .seesRole, .isOut, .seesNothingMissing:
            try await performGroup(sentence)
        case .deletes, .failsToDelete, .hasLost, .stillHas, .learns, .learnsDeleted: try await performDeletion(sentence)

        case .decides, .failsToDecide, .seesContact, .seesConflict, .seesNoConflict, .resolves, .mayNotSend, .givesUp, .hides:
            try await performContact(sentence)
        case .stopsEnforcing(let name, let sending):
            let device = try device(name)
            try await device.close()
            if sending { device.enforceBlocks(sending: false) } else { device.enforceBlocks(receiving: false) }
            try device.reopen()
            try await bringOnline(name)

        case .takesPart, .findsPresence, .sharesPresence: try await performPresence(sentence)
        case .rotates, .knowsKey, .keepsKeys, .cannotRead, .recovers: try await performKeys(sentence)

        case .goesOffline(let name):
            try await device(name).goOffline()
            online.remove(name)
        case .comesOnline(let name): try await bringOnline(name)
        case .restarts(let name):
            try await device(name).close()
            try device(name).reopen()
            try await bringOnline(name)
        case .isCutOff(let name, let code):
            let device = try device(name)
            try await device.wait(for: "the relay to end the connection", timeout: Self.patience) { $0.ended != nil }
            let found = device.log.ended
            guard let found, "\(found)".contains(code) else {
                throw SupportFailure("the session ended with: \(found.map(String.init(describing:)) ?? "nothing")")
            }
            online.remove(name)

        case .relayIsKilled:
            try await running().kill()
            relayRuns = false
            relayWasKilled = true
        case .relayStops:
            let status = try await running().terminate()
            guard status == .exited(0) else { throw SupportFailure("relayd ended with \(status.map(String.init(describing:)) ?? "nothing")") }
            relayRuns = false
        case .relayStarts: try await startRelay()
        case .relayHasAlerted(let kind):
            guard let relay, !relayRuns else { throw SupportFailure("the relay must have stopped: its log may still be on its way") }
            guard relay.standardError.contains("kind=\(kind)") else { throw SupportFailure("there is no alert of \(kind)") }

        case .operatorRuns(let command, let exit, let text):
            guard let relay else { throw SupportFailure("there is no relay yet") }
            let result = try await relay.chatctl.run(command.split(separator: " ").map(String.init))
            guard result.status == .exited(exit) else {
                throw SupportFailure("chatctl ended with \(result.status)\n\(result.standardOutput)\(result.standardError)")
            }
            if let text, !(result.standardOutput + result.standardError).contains(text) {
                throw SupportFailure("chatctl did not say “\(text)”:\n\(result.standardOutput)\(result.standardError)")
            }
        case .operatorRevokes(let name): try await operate("device", "revoke", device(name).account.device.description, "--yes")
        case .operatorRemoves(let user): try await operate("user", "remove", user, "--yes")
        }
    }

    private func running() throws -> RelayProcess {
        guard let relay, relayRuns else { throw SupportFailure("the relay does not run") }
        return relay
    }

    /// There is a way from the device to the relay.
    func isConnected(_ name: DeviceName) -> Bool { relayRuns && online.contains(name) }

    func device(_ name: DeviceName) throws -> TestDevice {
        guard let device = devices[name] else { throw SupportFailure("\(name) is not enrolled") }
        return device
    }

    private func startRelay() async throws {
        guard !relayRuns else { throw SupportFailure("the relay runs already") }
        let relay =
            try self.relay
            ?? RelayProcess(
                limits: limits, everyoneIsContact: policy.everyone, recording: true, onBlock: policy.leavesGroups ? "leave" : "stay-hidden",
                tellsBlocked: policy.tellsBlocked, offlineAfter: offlineAfter)
        try await relay.start()
        self.relay = relay
        relayRuns = true
    }

    private func operate(_ arguments: String...) async throws {
        let result = try await running().chatctl.run(arguments)
        guard result.succeeded else { throw SupportFailure("chatctl ended with \(result.status): \(result.standardError)") }
    }

    private func enrol(_ name: DeviceName) async throws {
        let link = try await running().chatctl.invite(name.user).link
        devices[name] = try await TestDevice(name: name.description, link: link, directory: StateDirectory(directory.file(name.description)))
        lastLink = link
        try await bringOnline(name)
    }

    private func refuse(_ name: DeviceName, _ link: String, _ code: String) async throws {
        do {
            _ = try await TestDevice(name: name.description, link: link, directory: StateDirectory(directory.file("\(name)-refused")))
        } catch ClientError.refused(let refusal) {
            guard refusal.code == code else { throw SupportFailure("the relay refused with \(refusal.code)") }
            return
        }
        throw SupportFailure("the enrolment was accepted")
    }

    private func bringOnline(_ name: DeviceName) async throws {
        if relayRuns { try await device(name).goOnline() } else { try await device(name).start() }
        online.insert(name)
    }

    private func send(_ name: DeviceName, _ texts: [String], to place: Sentence.Place) async throws {
        let ids = try await queue(name, texts, to: place)
        lastSent[name] = ids
        try await untilSent(name, ids)
    }

    private func queue(_ name: DeviceName, _ texts: [String], to place: Sentence.Place) async throws -> [Int64] {
        let session = try device(name).session
        switch place {
        case .user(let user): return try await session.send(texts, to: user)
        case .group(let title): return try await session.send(texts, toGroup: try await group(title, name))
        }
    }

    /// The group of that title on a device.
    func group(_ title: String, _ name: DeviceName) async throws -> GroupTarget {
        try await device(name).session.read { state throws(ClientError) in try state.findGroup(title) }
    }

    /// What was queued is on the relay's disk, when there is a way to it.
    func untilSent(_ name: DeviceName, _ ids: [Int64]) async throws {
        guard isConnected(name) else { return }
        try await device(name).session.wait(for: ids, .sent, timeout: Self.patience)
        try await check(ids, name, isNotDead: .sent)
    }

    func expectDead(_ name: DeviceName, _ ids: [Int64], _ code: String) async throws {
        let device = try device(name)
        try await device.wait(for: "a dead letter") { log in ids.allSatisfy { id in log.dead.contains { $0.id == id } } }
        for letter in device.log.dead where ids.contains(letter.id) && letter.code != code {
            throw SupportFailure("it failed with \(letter.code), not \(code): \(letter.reason)")
        }
    }

    private static func describe(_ entry: HistoryEntry) -> String {
        "“\(entry.text ?? "unreadable")” from \(entry.senderName ?? "somebody")\(entry.inGroup ? " in “\(entry.with ?? "a group")”" : "")"
    }

    func check(_ ids: [Int64], _ name: DeviceName, isNotDead stage: SendStage) async throws {
        let dead = try device(name).log.dead.filter { ids.contains($0.id) }
        guard dead.isEmpty else {
            throw SupportFailure("instead of \(stage), “\(dead[0].text)” is a dead letter: \(dead[0].code), \(dead[0].reason)")
        }
    }

    /// The next messages that the device's user was shown.
    private func next(_ count: Int, _ name: DeviceName) async throws -> [HistoryEntry] {
        let device = try device(name)
        let from = looked[name, default: 0]
        try await device.wait(for: "\(count) more messages (it has \(from))", timeout: Self.patience) { $0.received.count >= from + count }
        looked[name] = from + count
        return Array(device.log.received[from..<from + count])
    }
}
