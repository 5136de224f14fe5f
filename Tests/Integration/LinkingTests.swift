import Foundation
import RelayControl
import RelaySQLite
import RelayTestSupport
import Testing

/// A device adds another one of its user, through the real programs.
@Suite("Linking") struct LinkingTests {
    private struct Safety: Decodable {
        var safetyNumber: String
        var verified: String
    }
    private struct Issued: Decodable {
        var link: String
        var code: String
    }
    private struct Number: Decodable { var number: String }
    private struct Report: Decodable {
        var user: String
        var deviceName: String
        var people: Int
        var chats: Int
        var history: Bool
        var messages: Int
        var messagesWithoutKey: Int?
        var problem: String?
    }
    private struct History: Decodable {
        struct Message: Decodable {
            var with: String?
            var kind: String
            var seq: UInt64
            var text: String?
            var problem: String?
        }
        var messages: [Message]
    }

    /// A relay, state directories in one place, and the client's commands.
    private struct Stage {
        let relay: RelayProcess
        let directory: TemporaryDirectory
        var chatctl: Chatctl { relay.chatctl }

        init(everyone: Bool = true, limits: [String: Int] = [:]) async throws {
            relay = try RelayProcess(limits: limits, everyoneIsContact: everyone)
            directory = try TemporaryDirectory()
            try await relay.start()
        }

        @discardableResult func client(_ state: String, _ arguments: String...) async throws -> Chatctl.Result {
            let result = try await chatctl.run(["client"] + arguments + ["--state", directory.file(state)])
            #expect(result.succeeded, "\(arguments): \(result.standardError)")
            return result
        }

        func enrol(_ user: String, _ state: String) async throws {
            try await client(state, "enrol", try await chatctl.invite(user).link, "--device", state)
        }

        func catchUp(_ states: String...) async throws {
            for state in states { try await client(state, "listen", "--until-caught-up") }
        }

        func safety(_ state: String, _ name: String) async throws -> Safety {
            try await chatctl.json(["client", "safety", "show", name, "--state", directory.file(state)])
        }

        /// Texts and, where there is none, problems or kinds, in the order of the chat.
        func history(_ state: String, _ chat: String) async throws -> [String] {
            let history: History = try await chatctl.json(["client", "history", "--chat", chat, "--state", directory.file(state)])
            return history.messages.map { $0.text ?? $0.problem ?? $0.kind }
        }

        func start(_ state: String, _ options: [String] = []) throws -> Subprocess {
            try chatctl.start(["client", "link", "start", "--state", directory.file(state), "--json"] + options, input: nil)
        }

        func join(_ link: String, _ state: String, _ options: [String] = []) throws -> Subprocess {
            try chatctl.start(["client", "link", "join", link, "--device", state, "--state", directory.file(state), "--json"] + options)
        }

        /// Both halves, as a person does it.
        func link(_ old: String, _ new: String, _ options: [String] = []) async throws -> (old: Report, new: Report) {
            let start = try start(old, options)
            let join = try join(try await LinkingTests.line(start, Issued.self).link, new)
            start.type(try await LinkingTests.line(join, Number.self).number)
            #expect(await join.waitForExit() == .exited(0), "\(join.standardError.text)")
            #expect(await start.waitForExit() == .exited(0), "\(start.standardError.text)")
            return (try await LinkingTests.line(start, Report.self), try await LinkingTests.line(join, Report.self))
        }

        /// How a program ended, with what it said.
        func end(_ process: Subprocess) async -> (status: RelayTestSupport.ExitStatus, text: String) {
            let status = await process.waitForExit()
            await process.standardError.waitForEnd()
            return (status, process.standardError.text)
        }
    }

    /// The first line of output that is one of these.
    private static func line<Value: Decodable & SendableMetatype>(_ process: Subprocess, _ type: Value.Type) async throws -> Value {
        let found = await process.standardOutput.line { (try? JSONDecoder().decode(Value.self, from: Data($0.utf8))) != nil }
        guard let found else { throw SupportFailure("ended without \(type): \(process.standardError.text)") }
        return try JSONDecoder().decode(Value.self, from: Data(found.utf8))
    }

    @Test(.timeLimit(.minutes(10))) func aNewDeviceGetsWhatTheOldOneHas() async throws {
        let stage = try await Stage(everyone: false)
        for user in ["alice", "bob"] { _ = try await stage.chatctl.addUser(user) }
        try await stage.enrol("alice", "phone")
        try await stage.enrol("bob", "bob")
        try await stage.client("phone", "contacts", "request", "bob")
        try await stage.client("bob", "contacts", "accept", "alice")
        try await stage.client("phone", "contacts", "label", "bob", "friend")
        try await stage.client("phone", "send", "one", "--to", "bob")
        try await stage.catchUp("bob")
        try await stage.client("bob", "send", "two", "--to", "alice")
        try await stage.client("phone", "send", "a mistake", "--to", "bob")
        try await stage.catchUp("phone")
        try await stage.client("phone", "delete", "3", "--chat", "bob", "--for-everyone")
        try await stage.client("phone", "group", "create", "team", "--with", "bob")
        try await stage.client("phone", "send", "hello team", "--group", "team")
        try await stage.catchUp("bob")
        // Not received by the old device yet: it catches up before it gives.
        try await stage.client("bob", "send", "three", "--to", "alice")
        for (state, other) in [("phone", "bob"), ("bob", "alice")] {
            try await stage.client(state, "safety", "verify", other, "--number", try await stage.safety(state, other).safetyNumber)
        }

        let (old, new) = try await stage.link("phone", "laptop", ["--with-history"])
        for report in [old, new] {
            #expect(report.user == "alice" && report.deviceName == "laptop" && report.problem == nil)
            #expect(report.people == 2 && report.chats == 2 && report.history)
            // one, two, three; hello team, and the group's title.
            #expect(report.messages == 5)
        }
        #expect(old.messagesWithoutKey == 0)
        // Before it has connected once it knows people and chats.
        #expect(try await stage.safety("laptop", "bob").verified == "yes")
        #expect(try await stage.client("laptop", "group", "list").standardOutput.contains("team"))

        try await stage.catchUp("laptop")
        #expect(try await stage.history("laptop", "bob") == ["one", "two", "deleted", "deletion", "three"])
        #expect(try await stage.history("laptop", "team").last == "hello team")
        #expect(try await stage.history("laptop", "bob") == stage.history("phone", "bob"))
        let contacts = try await stage.client("laptop", "contacts", "list").standardOutput
        #expect(contacts.contains("bob") && contacts.contains("friend"))

        // Bob sees a device more: nothing goes to alice before he has compared again, and then to both.
        let stopped = try await stage.chatctl.run("client", "send", "four", "--to", "alice", "--state", stage.directory.file("bob"))
        #expect(!stopped.succeeded && stopped.standardError.contains("safety show alice"), "\(stopped)")
        let number = try await stage.safety("bob", "alice").safetyNumber
        #expect(try await stage.safety("phone", "bob").safetyNumber == number)
        #expect(try await stage.safety("laptop", "bob").safetyNumber == number)
        try await stage.client("bob", "safety", "verify", "alice", "--number", number)
        try await stage.client("bob", "send", "five", "--to", "alice")
        try await stage.client("laptop", "send", "six", "--to", "bob")
        try await stage.client("laptop", "send", "team six", "--group", "team")
        try await stage.client("phone", "send", "seven", "--to", "bob")
        try await stage.catchUp("phone", "laptop", "bob")
        for state in ["phone", "laptop"] {
            #expect(try await stage.history(state, "bob").suffix(3) == ["five", "six", "seven"])
            #expect(try await stage.history(state, "team").last == "team six")
        }
        #expect(try await stage.history("bob", "alice").suffix(3) == ["five", "six", "seven"])

        // Any device can: the laptop adds a tablet, without the history.
        let (_, tablet) = try await stage.link("laptop", "tablet")
        #expect(!tablet.history && tablet.messages == 0 && tablet.people == 2 && tablet.chats == 2)
        try await stage.catchUp("tablet")
        #expect(try await stage.client("tablet", "group", "list").standardOutput.contains("team"))
        let bobs: History = try await stage.chatctl.json(["client", "history", "--state", stage.directory.file("tablet")])
        #expect(bobs.messages.allSatisfy { $0.text == nil })
        try await stage.client("tablet", "send", "from the tablet", "--group", "team")
        try await stage.catchUp("phone", "laptop")
        for state in ["phone", "laptop"] { #expect(try await stage.history(state, "team").last == "from the tablet") }
        #expect(await stage.relay.terminate() == .exited(0))
        // Nobody's name, and nothing of a code, in the log.
        let log = stage.relay.standardError
        for secret in ["alice", "laptop", "tablet", "link#"] { #expect(!log.contains(secret), "\(secret)") }
    }

    /// What was sent before keys were kept, and what was deleted since, is not given.
    @Test(.timeLimit(.minutes(10))) func manyPartsAndMissingKeys() async throws {
        let stage = try await Stage()
        for user in ["alice", "bob"] { _ = try await stage.chatctl.run("user", "add", user, "--no-limits") }
        try await stage.enrol("alice", "phone")
        try await stage.enrol("bob", "bob")
        let texts = (1...2500).map { "message number \($0)" }
        try texts.joined(separator: "\n").write(toFile: stage.directory.file("texts"), atomically: true, encoding: .utf8)
        try await stage.client("phone", "send", "--to", "bob", "--file", stage.directory.file("texts"))
        // As an earlier version left it.
        try Database(path: stage.directory.file("phone") + "/client.db", access: .readWriteCreate)
            .execute("UPDATE history SET key = NULL WHERE chat_seq <= 100")
        let (old, new) = try await stage.link("phone", "laptop", ["--with-history"])
        #expect(old.messages == 2400 && new.messages == 2400 && old.messagesWithoutKey == 100)
        try await stage.catchUp("laptop")
        let history = try await stage.history("laptop", "bob")
        #expect(history.count == 2500)
        #expect(Set(history.prefix(100)) == ["sent before this device was enrolled"])
        #expect(Array(history.dropFirst(100)) == Array(texts.dropFirst(100)))
        #expect(await stage.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func thePersonRefuses() async throws {
        let stage = try await Stage()
        _ = try await stage.chatctl.addUser("alice")
        try await stage.enrol("alice", "phone")
        for answers in [["000000", "1", "x"], [""], []] {
            let start = try stage.start("phone")
            let join = try stage.join(try await Self.line(start, Issued.self).link, "laptop")
            let number = try await Self.line(join, Number.self).number
            for answer in answers { start.type(answer == number ? "1" : answer) }
            start.endInput()
            let (old, new) = (await stage.end(start), await stage.end(join))
            #expect(old.status == .exited(1) && old.text.contains("nothing was added"), "\(old)")
            #expect(new.status == .exited(1) && new.text.contains("link_ended"), "\(new)")
            #expect(try await stage.chatctl.devices().count == 1)
        }
        // The directory is good for the next attempt.
        _ = try await stage.link("phone", "laptop")
        #expect(try await stage.chatctl.devices().count == 2)
        #expect(await stage.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func wrongCodes() async throws {
        let stage = try await Stage()
        _ = try await stage.chatctl.addUser("alice")
        try await stage.enrol("alice", "phone")
        let start = try stage.start("phone")
        let issued = try await Self.line(start, Issued.self)
        func join(_ link: String, _ options: String...) async throws -> (status: RelayTestSupport.ExitStatus, text: String) {
            await stage.end(try stage.join(link, "other", options))
        }
        // One letter wrong, none at all, a code of nobody, no relay, another relay, an invite.
        var letters = Array(issued.link)
        letters[letters.count - 1] = letters.last == "0" ? "1" : "0"
        let nobody = "061C-680B-QYP9-ERR8-VPMA-N84T-910V-M02X"
        let cases: [(link: String, options: [String], status: Int32, text: String)] = [
            (String(letters), [], 64, "a letter or digit of the code is wrong"),
            ("", [], 64, "no relay is named"),
            (issued.code, [], 64, "no relay is named"),
            (issued.code, ["--relay", "ftp://x"], 64, "ftp"),
            (issued.link, ["--relay", "http://127.0.0.1:1"], 64, "not for"),
            (issued.link.replacingOccurrences(of: "/link", with: "/enrol"), [], 64, "/link"),
            (nobody, ["--relay", stage.relay.url], 1, "link_unknown"),
        ]
        for (link, options, status, text) in cases {
            let end = await stage.end(try stage.join(link, "other", options))
            #expect(end.status == .exited(status) && end.text.contains(text), "\(link) \(options): \(end)")
            #expect(end.text.contains("hint:"), "\(end)")
        }
        for name in ["", "a\u{1B}b", String(repeating: "x", count: 65)] {
            let named = try await stage.chatctl.run(
                "client", "link", "join", issued.link, "--device", name, "--state", stage.directory.file("other"))
            #expect(named.status == .exited(64) && named.standardError.contains("name"), "\(named)")
        }
        // The old device is in use meanwhile.
        let busy = try await stage.chatctl.run("client", "link", "start", "--state", stage.directory.file("phone"))
        #expect(busy.status == .exited(75) && busy.standardError.contains("in use"))
        // The first of two has it; the code alone is enough where the relay is named.
        let first = try stage.join(issued.code.lowercased(), "laptop", ["--relay", stage.relay.url])
        let number = try await Self.line(first, Number.self).number
        let second = try await join(issued.link)
        #expect(second.status == .exited(1) && second.text.contains("link_used"), "\(second)")
        start.type(String(number.prefix(3)) + " " + String(number.suffix(3)))
        #expect(await stage.end(first).status == .exited(0))
        #expect(await stage.end(start).status == .exited(0))
        // Over.
        let late = try await join(issued.link)
        #expect(late.status == .exited(1) && late.text.contains("link_used"), "\(late)")
        let enrolled = await stage.end(try stage.join(issued.link, "laptop"))
        #expect(enrolled.status == .exited(78) && enrolled.text.contains("enrolled device already"), "\(enrolled)")
        #expect(await stage.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func noMoreDevicesThanAllowed() async throws {
        let stage = try await Stage(limits: ["devices_per_user": 1])
        _ = try await stage.chatctl.addUser("alice")
        try await stage.enrol("alice", "phone")
        let start = try stage.start("phone")
        let join = try stage.join(try await Self.line(start, Issued.self).link, "laptop")
        start.type(try await Self.line(join, Number.self).number)
        let old = await stage.end(start)
        #expect(old.status == .exited(1) && old.text.contains("device_limit"), "\(old)")
        let new = await stage.end(join)
        #expect(new.status == .exited(1) && new.text.contains("link_ended"), "\(new)")
        #expect(await stage.relay.terminate() == .exited(0))
    }

    @Test(.timeLimit(.minutes(10))) func aRestartEndsALinkOnBothSides() async throws {
        let stage = try await Stage()
        _ = try await stage.chatctl.addUser("alice")
        try await stage.enrol("alice", "phone")
        let start = try stage.start("phone")
        let join = try stage.join(try await Self.line(start, Issued.self).link, "laptop")
        let number = try await Self.line(join, Number.self).number
        #expect(await stage.relay.terminate() == .exited(0))
        try await stage.relay.start()
        start.type(number)
        let (old, new) = (await stage.end(start), await stage.end(join))
        for end in [old, new] { #expect(end.status == .exited(1) && end.text.contains("link_unknown") && end.text.contains("restarted"), "\(end)") }
        #expect(try await stage.chatctl.devices().count == 1)
        #expect(await stage.relay.terminate() == .exited(0))
    }

    /// The new device dies between the number and the answer of the relay.
    @Test(.timeLimit(.minutes(10))) func anInterruptedDeviceFindsOutThatItWasAdded() async throws {
        let stage = try await Stage()
        for user in ["alice", "bob"] { _ = try await stage.chatctl.addUser(user) }
        try await stage.enrol("alice", "phone")
        try await stage.enrol("bob", "bob")
        let start = try stage.start("phone")
        let link = try await Self.line(start, Issued.self).link
        let join = try stage.join(link, "laptop")
        let number = try await Self.line(join, Number.self).number
        join.send(SIGKILL)
        _ = await join.waitForExit()
        start.type(number)
        #expect(await start.standardError.line { $0.contains("is admitted") } != nil)
        start.send(SIGKILL)
        _ = await start.waitForExit()
        let again = await stage.end(try stage.join(link, "laptop"))
        #expect(again.status == .exited(1) && again.text.contains("was added"), "\(again)")
        try await stage.client("laptop", "send", "hello", "--to", "bob")
        try await stage.catchUp("bob", "phone")
        #expect(try await stage.history("bob", "alice") == ["hello"])
        #expect(try await stage.history("phone", "bob") == ["hello"])
        #expect(await stage.relay.terminate() == .exited(0))
    }

    /// It dies before: nothing was added, and the code is worth nothing any more.
    @Test(.timeLimit(.minutes(10))) func anInterruptedDeviceBeginsAgain() async throws {
        let stage = try await Stage()
        _ = try await stage.chatctl.addUser("alice")
        try await stage.enrol("alice", "phone")
        let start = try stage.start("phone")
        let link = try await Self.line(start, Issued.self).link
        let join = try stage.join(link, "laptop")
        let number = try await Self.line(join, Number.self).number
        join.send(SIGKILL)
        _ = await join.waitForExit()
        let again = await stage.end(try stage.join(link, "laptop"))
        #expect(again.text.contains("interrupted; nothing was added"), "\(again)")
        start.type(number)
        let old = await stage.end(start)
        #expect(old.status == .exited(1) && old.text.contains("link_ended"), "\(old)")
        #expect(try await stage.chatctl.devices().count == 1)
        _ = try await stage.link("phone", "laptop")
        #expect(await stage.relay.terminate() == .exited(0))
    }
}
