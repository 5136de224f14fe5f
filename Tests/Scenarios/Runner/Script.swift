/// A scenario: what happens, one sentence a line. `#` begins a comment. The sentences are listed in ``Sentence``.
struct Script: Sendable {
    struct Line: Sendable {
        var number: Int
        var text: String
        var sentence: Sentence
    }

    var name: String
    var lines: [Line]

    /// Reads a script; throws for the first line that is no sentence, naming file and line.
    init(name: String, text: String) throws {
        self.name = name
        lines = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            do {
                var words = try Words(String(line))
                guard !words.isAtEnd else { continue }
                let sentence = try Sentence(&words)
                guard words.isAtEnd else { throw Words.Unexpected("“\(words.rest)” is left over") }
                lines.append(Line(number: index + 1, text: line.trimmed, sentence: sentence))
            } catch let error as Words.Unexpected {
                throw ScenarioFailure(script: name, line: index + 1, text: line.trimmed, reason: error.reason)
            }
        }
    }
}

/// What went wrong and where, in the form that editors jump to.
struct ScenarioFailure: Error, CustomStringConvertible {
    var script: String
    var line: Int
    var text: String
    var reason: String
    var description: String { "Tests/Scenarios/\(script).scn:\(line): \(reason)\n    \(text)" }
}

/// `alice.phone`.
struct DeviceName: Hashable, Sendable, CustomStringConvertible {
    var user: String
    var device: String
    var description: String { "\(user).\(device)" }
}

/// Every sentence of the language.
enum Sentence: Sendable {
    /// `limit devices_per_user 2`: before the relay starts.
    case limit(String, Int)
    /// `users alice, bob`: the operator adds them; starts the relay.
    case users([String])
    /// `devices alice.phone, bob.phone`: enrolled with fresh invites, and online.
    case devices([DeviceName])

    /// `alice.phone sends "hello" to bob`: returns when the relay has it, or with the relay away when it is in the outbox.
    case sends(DeviceName, String, to: String)
    /// `alice.phone sends 100 messages to bob`.
    case sendsMany(DeviceName, Int, to: String)
    /// `alice.phone fails to send "hello" to bob: recipient_gone`.
    case failsToSend(DeviceName, String, to: String, code: String)
    /// `bob.phone receives "hello" from alice`: its next message.
    case receives(DeviceName, String, from: String)
    /// `bob.phone receives 100 messages from alice`.
    case receivesMany(DeviceName, Int, from: String)
    /// `bob.phone has 101 messages in order without duplicates`: waits until they are there, then counts all it was ever shown.
    case has(DeviceName, Int)
    /// `bob.phone has read all from alice`: says so to the relay.
    case hasRead(DeviceName, from: String)
    /// `alice.phone sees delivered`, `sees read`: of the last message it sent.
    case sees(DeviceName, Watermark)

    /// `bob.phone goes offline`, `comes online`, `restarts`.
    case goesOffline(DeviceName)
    case comesOnline(DeviceName)
    /// The client program ends and starts again on the same state directory.
    case restarts(DeviceName)
    /// `bob.phone is cut off: device_revoked`.
    case isCutOff(DeviceName, code: String)
    /// `bob.tablet enrols`: with a fresh invite.
    case enrols(DeviceName)
    /// `bob.tablet fails to enrol: device_limit`: with a fresh invite.
    case failsToEnrol(DeviceName, code: String)
    /// `bob.tablet fails to enrol with a used invite: invite_used`: the one of the last enrolment.
    case failsToEnrolAgain(DeviceName, code: String)

    /// `relay is killed`, `relay stops cleanly`, `relay starts`.
    case relayIsKilled
    case relayStops
    case relayStarts

    /// `operator runs "user add carol"`, `operator runs "user add bob" / expects exit 1 and "already exists"`.
    case operatorRuns(String, exit: Int32, text: String?)
    case operatorRevokes(DeviceName)
    case operatorRemoves(String)

    enum Watermark: String, Sendable { case delivered, read }

    init(_ words: inout Words) throws {
        switch try words.next("a sentence") {
        case "limit": self = .limit(try words.next("a key"), try words.number())
        case "users": self = .users(try words.list().map { try Words.user($0) })
        case "devices": self = .devices(try words.list().map { try Words.device($0) })
        case "relay": self = try Sentence.relay(&words)
        case "operator": self = try Sentence.operators(&words)
        case let name: self = try Sentence.device(try Words.device(name), &words)
        }
    }

    private static func relay(_ words: inout Words) throws -> Sentence {
        switch try words.next("is killed, stops cleanly or starts") {
        case "is":
            try words.expect("killed")
            return .relayIsKilled
        case "stops":
            try words.expect("cleanly")
            return .relayStops
        case "starts": return .relayStarts
        case let word: throw Words.Unexpected("a relay “is killed”, “stops cleanly” or “starts”, not “\(word)”")
        }
    }

    private static func operators(_ words: inout Words) throws -> Sentence {
        switch try words.next("runs, revokes or removes") {
        case "runs":
            let command = try words.quoted()
            guard words.take("/") else { return .operatorRuns(command, exit: 0, text: nil) }
            try words.expect("expects", "exit")
            let exit = Int32(clamping: try words.number())
            return .operatorRuns(command, exit: exit, text: words.take("and") ? try words.quoted() : nil)
        case "revokes": return .operatorRevokes(try Words.device(words.next("a device")))
        case "removes": return .operatorRemoves(try Words.user(words.next("a user")))
        case let word: throw Words.Unexpected("an operator “runs”, “revokes” or “removes”, not “\(word)”")
        }
    }

    private static func device(_ device: DeviceName, _ words: inout Words) throws -> Sentence {
        switch try words.next("what the device does") {
        case "sends":
            if let count = try words.count("messages") {
                try words.expect("to")
                return .sendsMany(device, count, to: try Words.user(words.next("a user")))
            }
            let text = try words.quoted()
            try words.expect("to")
            return .sends(device, text, to: try Words.user(words.next("a user")))
        case "fails":
            try words.expect("to")
            if words.take("enrol:") { return .failsToEnrol(device, code: try words.next("an error code")) }
            if words.take("enrol") {
                try words.expect("with", "a", "used", "invite:")
                return .failsToEnrolAgain(device, code: try words.next("an error code"))
            }
            try words.expect("send")
            let text = try words.quoted()
            try words.expect("to")
            let user = try words.next("a user and “:”")
            guard user.hasSuffix(":") else { throw Words.Unexpected("“:” and an error code are missing") }
            return .failsToSend(device, text, to: try Words.user(String(user.dropLast())), code: try words.next("an error code"))
        case "receives":
            if let count = try words.count("messages") {
                try words.expect("from")
                return .receivesMany(device, count, from: try Words.user(words.next("a user")))
            }
            let text = try words.quoted()
            try words.expect("from")
            return .receives(device, text, from: try Words.user(words.next("a user")))
        case "has":
            if words.take("read") {
                try words.expect("all", "from")
                return .hasRead(device, from: try Words.user(words.next("a user")))
            }
            let count = try words.number()
            try words.expect("messages", "in", "order", "without", "duplicates")
            return .has(device, count)
        case "sees":
            let word = try words.next("delivered or read")
            guard let watermark = Watermark(rawValue: word) else { throw Words.Unexpected("a device sees “delivered” or “read”, not “\(word)”") }
            return .sees(device, watermark)
        case "goes":
            try words.expect("offline")
            return .goesOffline(device)
        case "comes":
            try words.expect("online")
            return .comesOnline(device)
        case "restarts": return .restarts(device)
        case "is":
            try words.expect("cut", "off:")
            return .isCutOff(device, code: try words.next("an error code"))
        case "enrols": return .enrols(device)
        case let word:
            throw Words.Unexpected("a device sends, receives, has, sees, goes, comes, restarts, enrols, fails or is cut off; “\(word)” is unknown")
        }
    }
}

/// The words of one line; a quoted text is one word.
struct Words {
    struct Unexpected: Error {
        var reason: String
        init(_ reason: String) { self.reason = reason }
    }

    private enum Word {
        case plain(String)
        case quoted(String)
    }
    private var words: ArraySlice<Word>

    init(_ line: String) throws {
        var found: [Word] = []
        var rest = line[...]
        while let character = rest.first {
            if character == "#" { break }
            if character.isWhitespace {
                rest = rest.dropFirst()
            } else if character == "\"" {
                let inside = rest.dropFirst()
                guard let end = inside.firstIndex(of: "\"") else { throw Unexpected("the closing quotation mark is missing") }
                found.append(.quoted(String(inside[..<end])))
                rest = inside[inside.index(after: end)...]
            } else {
                let word = rest.prefix { !$0.isWhitespace }
                found.append(.plain(String(word)))
                rest = rest[word.endIndex...]
            }
        }
        words = found[...]
    }

    var isAtEnd: Bool { words.isEmpty }

    var rest: String {
        words.map {
            switch $0 {
            case .plain(let text): text
            case .quoted(let text): "\"\(text)\""
            }
        }.joined(separator: " ")
    }

    mutating func next(_ wanted: String) throws -> String {
        guard case .plain(let word)? = words.first else { throw Unexpected("\(wanted) is missing") }
        words = words.dropFirst()
        return word
    }

    mutating func quoted() throws -> String {
        guard case .quoted(let text)? = words.first else { throw Unexpected("a text in quotation marks is missing") }
        words = words.dropFirst()
        return text
    }

    /// Takes a word if it is next.
    mutating func take(_ wanted: String) -> Bool {
        guard case .plain(wanted)? = words.first else { return false }
        words = words.dropFirst()
        return true
    }

    mutating func expect(_ wanted: String...) throws {
        for word in wanted where !take(word) { throw Unexpected("“\(word)” is missing" + (isAtEnd ? "" : " before “\(rest)”")) }
    }

    mutating func number() throws -> Int {
        let word = try next("a number")
        guard let number = Int(word), number >= 0 else { throw Unexpected("“\(word)” is not a number") }
        return number
    }

    /// A number and `unit`, or nil when no number is next.
    mutating func count(_ unit: String) throws -> Int? {
        guard case .plain(let word)? = words.first, let number = Int(word), number > 0 else { return nil }
        words = words.dropFirst()
        try expect(unit)
        return number
    }

    /// What is left, separated by commas.
    mutating func list() throws -> [String] {
        var names: [String] = []
        while !isAtEnd {
            let word = try next("a name")
            names.append(word.hasSuffix(",") ? String(word.dropLast()) : word)
            guard word.hasSuffix(",") || isAtEnd else { throw Unexpected("a comma is missing behind “\(word)”") }
        }
        guard !names.isEmpty else { throw Unexpected("names are missing") }
        return names
    }

    static func user(_ word: String) throws -> String {
        guard !word.isEmpty, !word.contains("."), word.allSatisfy({ $0.isLetter || $0.isNumber }) else { throw Unexpected("“\(word)” is not a user") }
        return word
    }

    static func device(_ word: String) throws -> DeviceName {
        let parts = word.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            throw Unexpected("“\(word)” is neither a known word nor a device like alice.phone")
        }
        return DeviceName(user: String(parts[0]), device: String(parts[1]))
    }
}

extension StringProtocol {
    var trimmed: String { String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()) }
}
