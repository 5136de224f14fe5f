import RelayClient
import RelayModel

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
    /// `contacts must ask`: before the relay starts; otherwise everybody is everybody's contact.
    case contactsMustAsk
    /// `blocks keep groups`: who blocks stays in the groups that both are in. Before the relay starts, as the next.
    case blocksKeepGroups
    /// `blocks are secret`: nobody is told that they are blocked.
    case blocksAreSecret
    /// `presence ends after 3 seconds` without a heartbeat, of which there is one a second: before the relay starts.
    case presenceEnds(after: Int)
    /// `users alice, bob`: the operator adds them; starts the relay.
    case users([String])
    /// `devices alice.phone, bob.phone`: enrolled with fresh invites, and online.
    case devices([DeviceName])

    /// `alice.phone sends "hello" to bob`, `sends "hello" to group "team"`: returns when the relay has it, or, without a connection, when it is in the
    /// outbox.
    case sends(DeviceName, String, to: Place)
    /// `alice.phone sends 100 messages to bob`, `sends 100 messages to group "team"`.
    case sendsMany(DeviceName, Int, to: Place)
    /// `alice.phone fails to send "hello" to bob: recipient_gone`, `fails to send "hello" to group "team": left_group`.
    case failsToSend(DeviceName, String, to: Place, code: String)
    /// `bob.phone receives "hello" from alice`, `receives "hello" from alice in "team"`: its next message.
    case receives(DeviceName, String, from: String, group: String?)
    /// `bob.phone receives 100 messages from alice`, with `in "team"` too.
    case receivesMany(DeviceName, Int, from: String, group: String?)
    /// `bob.phone has 101 messages in order without duplicates`: waits until they are there, then counts all it was ever shown.
    case has(DeviceName, Int)
    /// `bob.phone has read all from alice`: says so to the relay.
    case hasRead(DeviceName, from: String)
    /// `alice.phone sees delivered`, `sees read`: of the last message it sent.
    case sees(DeviceName, Watermark)

    /// `alice.phone creates group "team" with bob, carol`. Like all changes and deletions, it returns as a send does.
    case creates(DeviceName, String, with: [String])
    /// `alice.phone adds dave to "team"`, `removes carol from "team"`, `leaves "team"`, `renames "team" to "crew"`, `makes bob admin of "team"`.
    case changes(DeviceName, Change)
    /// `bob.phone fails to add dave to "team": not_permitted`, and so on: `remove carol from`, `leave`, `rename`, `make bob admin of`.
    case failsToChange(DeviceName, Change, code: String)
    /// `bob.phone knows group "team"`: waits until a group has that title there.
    case knowsGroup(DeviceName, String)
    /// `bob.phone sees members of "team": alice, bob`: waits until these are all.
    case seesMembers(DeviceName, String, [String])
    /// `bob.phone sees bob as owner of "team"`.
    case seesRole(DeviceName, String, String, of: String)
    /// `carol.phone is out of "team"`: waits until it has received that.
    case isOut(DeviceName, String)
    /// `bob.phone sees no places missing`: in no chat.
    case seesNothingMissing(DeviceName)

    /// `alice.phone deletes "hello"`, `deletes "hello" for everyone`: the last message with that text.
    case deletes(DeviceName, String, forEveryone: Bool)
    /// `bob.phone fails to delete "hello" for everyone: not_permitted`.
    case failsToDelete(DeviceName, String, forEveryone: Bool, code: String)
    /// `bob.phone has lost "hello"`: waits until no message there has that text; at the end no file of the device may hold it.
    case hasLost(DeviceName, String)
    /// `bob.phone still has "hello"`.
    case stillHas(DeviceName, String)
    /// `alice.phone learns "hello": 3 of 4 have it, 1 read it`: asks the relay about a message that the device sent.
    case learns(DeviceName, String, delivered: Int, recipients: Int, read: Int)
    /// `alice.phone learns "hello" is deleted`.
    case learnsDeleted(DeviceName, String)

    /// `alice.phone requests bob`, `accepts`, `ignores`, `blocks`, `unblocks` or `forgets bob`; `requests bob as "work"`, `labels bob "work"`. Returns
    /// when the relay has done it, or, without a connection, when it is kept.
    case decides(DeviceName, ContactAction?, String, label: String?)
    /// `bob.phone fails to accept alice: request_unknown`, and so on: `request`, `ignore`, `block`, `unblock`, `forget`.
    case failsToDecide(DeviceName, ContactAction, String, code: String)
    /// `alice.phone sees bob as accepted`: waits until it shows that state, one of ``ContactState``.
    case seesContact(DeviceName, String, ContactState)
    /// `alice.phone sees a conflict about bob: wants blockedByMe, relay has accepted`: waits for it.
    case seesConflict(DeviceName, String, wants: ContactState, relay: ContactState)
    /// `alice.phone sees no conflict about bob`.
    case seesNoConflict(DeviceName, String)
    /// `alice.phone resolves bob as mine`, `as relay`.
    case resolves(DeviceName, String, ContactResolution)
    /// `alice.phone may not send "hello" to bob: you_block`: its client refuses, nothing is queued.
    case mayNotSend(DeviceName, String, to: String, code: String)
    /// `alice.phone gives up "hello": blocked`: waits until what was queued before is a dead letter.
    case givesUp(DeviceName, String, code: String)
    /// `bob.phone hides "hello"`: waits until it has the message, which was never shown.
    case hides(DeviceName, String)
    /// `alice.phone stops enforcing blocks when sending`, `when receiving`: the client's own layer is off.
    case stopsEnforcing(DeviceName, sending: Bool)

    /// `bob.phone rotates its key`, with a `grace 0` in seconds behind it, or `and forgets the former ones`: also without a stream.
    case rotates(DeviceName, grace: Int?, forgetting: Bool)
    /// `alice.phone knows key 2 of bob.phone`: waits until that is the newest one that it knows.
    case knowsKey(DeviceName, Int, of: DeviceName)
    /// `bob.phone keeps keys 2, 1`: waits until these are its own, the current one first.
    case keepsKeys(DeviceName, [Int])
    /// `bob.phone cannot read a message from alice`: the next one that it cannot read.
    case cannotRead(DeviceName, from: String)
    /// `bob.phone recovers "hello" from alice`: waits until a message that it could not read has its text.
    case recovers(DeviceName, String, from: String)

    /// `alice.phone takes part in presence`, `takes no part in presence`.
    case takesPart(DeviceName, Bool)
    /// `bob.phone finds alice online`, `finds alice away`: waits until the relay says so, and when she was last seen; `finds nothing of alice`.
    case findsPresence(DeviceName, Found, of: String)
    /// `alice.phone shares presence`, `shares nothing of presence`, `shares presence without the last time`.
    case sharesPresence(DeviceName, PresenceSharing)

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
    /// `relay has alerted of blocked_sender`: in its log, once it has stopped.
    case relayHasAlerted(String)

    /// `operator runs "user add carol"`, `operator runs "user add bob" / expects exit 1 and "already exists"`.
    case operatorRuns(String, exit: Int32, text: String?)
    case operatorRevokes(DeviceName)
    case operatorRemoves(String)

    enum Found: Sendable { case online, away, nothing }

    enum Watermark: String, Sendable { case delivered, read }

    /// Where a message goes.
    enum Place: Sendable, Equatable {
        case user(String)
        case group(String)
    }

    /// A change of a group, named by its title.
    enum Change: Sendable, Equatable {
        case add([String], String)
        case remove([String], String)
        case leave(String)
        case rename(String, to: String)
        case role([String], String, String)
    }

    init(_ words: inout Words) throws {
        switch try words.next("a sentence") {
        case "limit": self = .limit(try words.next("a key"), try words.number())
        case "contacts":
            try words.expect("must", "ask")
            self = .contactsMustAsk
        case "blocks":
            if words.take("keep") {
                try words.expect("groups")
                self = .blocksKeepGroups
            } else {
                try words.expect("are", "secret")
                self = .blocksAreSecret
            }
        case "presence":
            try words.expect("ends", "after")
            self = .presenceEnds(after: try words.number())
            try words.expect("seconds")
        case "users": self = .users(try words.list().map { try Words.user($0) })
        case "devices": self = .devices(try words.list().map { try Words.device($0) })
        case "relay": self = try Sentence.relay(&words)
        case "operator": self = try Sentence.operators(&words)
        case let name: self = try Sentence.device(try Words.device(name), &words)
        }
    }

    private static func relay(_ words: inout Words) throws -> Sentence {
        switch try words.next("is killed, stops cleanly, starts or has alerted of") {
        case "is":
            try words.expect("killed")
            return .relayIsKilled
        case "stops":
            try words.expect("cleanly")
            return .relayStops
        case "starts": return .relayStarts
        case "has":
            try words.expect("alerted", "of")
            return .relayHasAlerted(try words.next("a class of alerts"))
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
        let verb = try words.next("what the device does")
        switch verb {
        case "sends":
            if let count = try words.count("messages") {
                try words.expect("to")
                return .sendsMany(device, count, to: try place(&words))
            }
            let text = try words.quoted()
            try words.expect("to")
            return .sends(device, text, to: try place(&words))
        case "fails":
            try words.expect("to")
            return try failure(device, &words)
        case "receives":
            if let count = try words.count("messages") {
                try words.expect("from")
                return .receivesMany(device, count, from: try Words.user(words.next("a user")), group: words.take("in") ? try words.quoted() : nil)
            }
            let text = try words.quoted()
            try words.expect("from")
            return .receives(device, text, from: try Words.user(words.next("a user")), group: words.take("in") ? try words.quoted() : nil)
        case "has":
            if words.take("read") {
                try words.expect("all", "from")
                return .hasRead(device, from: try Words.user(words.next("a user")))
            }
            if words.take("lost") { return .hasLost(device, try words.quoted()) }
            let count = try words.number()
            try words.expect("messages", "in", "order", "without", "duplicates")
            return .has(device, count)
        case "still":
            try words.expect("has")
            return .stillHas(device, try words.quoted())
        case "creates":
            try words.expect("group")
            let title = try words.quoted()
            try words.expect("with")
            return .creates(device, title, with: try words.list().map { try Words.user($0) })
        case "adds", "removes", "leaves", "renames", "makes":
            words.putBack(String(verb.dropLast()))
            return .changes(device, try change(&words))
        case "requests", "accepts", "ignores", "blocks", "unblocks", "forgets":
            words.putBack(String(verb.dropLast()))
            let action = try decision(&words)
            let user = try Words.user(words.next("a user"))
            return .decides(device, action, user, label: words.take("as") ? try words.quoted() : nil)
        case "labels":
            let user = try Words.user(words.next("a user"))
            return .decides(device, nil, user, label: try words.quoted())
        case "resolves":
            let user = try Words.user(words.next("a user"))
            try words.expect("as")
            if words.take("mine") { return .resolves(device, user, .mine) }
            try words.expect("relay")
            return .resolves(device, user, .relay)
        case "may":
            try words.expect("not", "send")
            let text = try words.quoted()
            try words.expect("to")
            return .mayNotSend(device, text, to: try words.userWithColon(), code: try words.next("an error code"))
        case "gives":
            try words.expect("up")
            let text = try words.quoted()
            return .givesUp(device, text, code: try code(&words))
        case "hides": return .hides(device, try words.quoted())
        case "stops":
            try words.expect("enforcing", "blocks", "when")
            if words.take("sending") { return .stopsEnforcing(device, sending: true) }
            try words.expect("receiving")
            return .stopsEnforcing(device, sending: false)
        case "deletes":
            let text = try words.quoted()
            return .deletes(device, text, forEveryone: try forEveryone(&words))
        case "knows":
            if words.take("key") {
                let version = try words.number()
                try words.expect("of")
                return .knowsKey(device, version, of: try Words.device(words.next("a device")))
            }
            try words.expect("group")
            return .knowsGroup(device, try words.quoted())
        case "takes":
            let isPart = !words.take("no")
            try words.expect("part", "in", "presence")
            return .takesPart(device, isPart)
        case "finds":
            if words.take("nothing") {
                try words.expect("of")
                return .findsPresence(device, .nothing, of: try Words.user(words.next("a user")))
            }
            let user = try Words.user(words.next("a user"))
            if words.take("online") { return .findsPresence(device, .online, of: user) }
            try words.expect("away")
            return .findsPresence(device, .away, of: user)
        case "shares":
            if words.take("nothing") {
                try words.expect("of", "presence")
                return .sharesPresence(device, PresenceSharing(status: false, lastSeen: false))
            }
            try words.expect("presence")
            guard words.take("without") else { return .sharesPresence(device, PresenceSharing()) }
            try words.expect("the", "last", "time")
            return .sharesPresence(device, PresenceSharing(status: true, lastSeen: false))
        case "rotates":
            try words.expect("its", "key")
            if words.take("and") {
                try words.expect("forgets", "the", "former", "ones")
                return .rotates(device, grace: nil, forgetting: true)
            }
            guard words.take("with") else { return .rotates(device, grace: nil, forgetting: false) }
            try words.expect("grace")
            return .rotates(device, grace: try words.number(), forgetting: false)
        case "keeps":
            try words.expect("keys")
            return .keepsKeys(
                device,
                try words.list().map { word in
                    guard let version = Int(word) else { throw Words.Unexpected("“\(word)” is not the number of a key") }
                    return version
                })
        case "cannot":
            try words.expect("read", "a", "message", "from")
            return .cannotRead(device, from: try Words.user(words.next("a user")))
        case "recovers":
            let text = try words.quoted()
            try words.expect("from")
            return .recovers(device, text, from: try Words.user(words.next("a user")))
        case "learns":
            let text = try words.quoted()
            if words.take("is") {
                try words.expect("deleted")
                return .learnsDeleted(device, text)
            }
            try words.expect(":")
            let delivered = try words.number()
            try words.expect("of")
            let recipients = try words.number()
            try words.expect("have", "it,")
            let read = try words.number()
            try words.expect("read", "it")
            return .learns(device, text, delivered: delivered, recipients: recipients, read: read)
        case "sees":
            if words.take("members") {
                try words.expect("of")
                let title = try words.quoted()
                try words.expect(":")
                return .seesMembers(device, title, try words.list().map { try Words.user($0) })
            }
            if words.take("no") {
                if words.take("conflict") {
                    try words.expect("about")
                    return .seesNoConflict(device, try Words.user(words.next("a user")))
                }
                try words.expect("places", "missing")
                return .seesNothingMissing(device)
            }
            if words.take("a") {
                try words.expect("conflict", "about")
                let user = try words.userWithColon()
                try words.expect("wants")
                let wants = try words.next("a state and “,”")
                guard wants.hasSuffix(",") else { throw Words.Unexpected("a comma is missing behind “\(wants)”") }
                try words.expect("relay", "has")
                return .seesConflict(device, user, wants: try contactState(String(wants.dropLast())), relay: try contactState(words.next("a state")))
            }
            let word = try words.next("delivered or read")
            if words.take("as") {
                let role = try words.next("a role or a state")
                guard words.take("of") else { return .seesContact(device, try Words.user(word), try contactState(role)) }
                return .seesRole(device, try Words.user(word), role, of: try words.quoted())
            }
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
            if words.take("out") {
                try words.expect("of")
                return .isOut(device, try words.quoted())
            }
            try words.expect("cut", "off:")
            return .isCutOff(device, code: try words.next("an error code"))
        case "enrols": return .enrols(device)
        case let word:
            throw Words.Unexpected(
                """
                a device sends, receives, has, still has, sees, knows, learns, creates, adds, removes, leaves, renames, makes, deletes, requests, accepts, ignores, \
                blocks, unblocks, forgets, labels, resolves, hides, gives up, may not send, stops, takes part, finds, shares, rotates, keeps, recovers, cannot read, goes, comes, restarts, enrols, fails, is out or is cut off; “\(word)” is unknown
                """)
        }
    }

    private static func failure(_ device: DeviceName, _ words: inout Words) throws -> Sentence {
        if words.take("enrol:") { return .failsToEnrol(device, code: try words.next("an error code")) }
        if words.take("enrol") {
            try words.expect("with", "a", "used", "invite:")
            return .failsToEnrolAgain(device, code: try words.next("an error code"))
        }
        if words.take("send") {
            let text = try words.quoted()
            try words.expect("to")
            if words.take("group") {
                let title = try words.quoted()
                return .failsToSend(device, text, to: .group(title), code: try code(&words))
            }
            return .failsToSend(device, text, to: .user(try words.userWithColon()), code: try words.next("an error code"))
        }
        if words.take("delete") {
            let text = try words.quoted()
            let all = words.take("for")
            if all { try words.expect("everyone:") } else { try words.expect(":") }
            return .failsToDelete(device, text, forEveryone: all, code: try words.next("an error code"))
        }
        if let action = try? decision(&words) {
            return .failsToDecide(device, action, try words.userWithColon(), code: try words.next("an error code"))
        }
        let change = try change(&words)
        return .failsToChange(device, change, code: try code(&words))
    }

    /// In the infinitive: `accept`.
    private static func decision(_ words: inout Words) throws -> ContactAction {
        for action in ContactAction.allCases where words.take(action == .delete ? "forget" : "\(action)") { return action }
        throw Words.Unexpected("a contact is requested, accepted, ignored, blocked, unblocked or forgotten")
    }

    private static func contactState(_ word: String) throws -> ContactState {
        guard let state = ContactState.allCases.first(where: { "\($0)" == word }) else {
            throw Words.Unexpected("“\(word)” is no state of a contact: \(ContactState.allCases.map { "\($0)" }.joined(separator: ", "))")
        }
        return state
    }

    private static func code(_ words: inout Words) throws -> String {
        try words.expect(":")
        return try words.next("an error code")
    }

    private static func place(_ words: inout Words) throws -> Place {
        if words.take("group") { return .group(try words.quoted()) }
        return .user(try Words.user(words.next("a user")))
    }

    private static func forEveryone(_ words: inout Words) throws -> Bool {
        guard words.take("for") else { return false }
        try words.expect("everyone")
        return true
    }

    /// In the infinitive: `add dave, erin to "team"`.
    private static func change(_ words: inout Words) throws -> Change {
        switch try words.next("what becomes of the group") {
        case "add":
            let users = try words.users(before: "to")
            return .add(users, try words.quoted())
        case "remove":
            let users = try words.users(before: "from")
            return .remove(users, try words.quoted())
        case "leave": return .leave(try words.quoted())
        case "rename":
            let title = try words.quoted()
            try words.expect("to")
            return .rename(title, to: try words.quoted())
        case "make":
            var users = try words.users(before: "of")
            guard users.count > 1, let role = users.popLast() else { throw Words.Unexpected("a role is missing") }
            return .role(users, role, try words.quoted())
        case let word: throw Words.Unexpected("a group’s members add, remove, leave, rename or make; “\(word)” is unknown")
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

    /// Puts a word in front of what is left.
    mutating func putBack(_ word: String) { words = [.plain(word)] + words }

    /// Names, with or without commas, up to and with a word.
    mutating func users(before end: String) throws -> [String] {
        var names: [String] = []
        while !take(end) {
            let word = try next("a user or “\(end)”")
            names.append(try Words.user(word.hasSuffix(",") ? String(word.dropLast()) : word))
        }
        guard !names.isEmpty else { throw Unexpected("a user is missing") }
        return names
    }

    /// A user and the colon behind.
    mutating func userWithColon() throws -> String {
        let user = try next("a user and “:”")
        guard user.hasSuffix(":") else { throw Unexpected("“:” and an error code are missing") }
        return try Words.user(String(user.dropLast()))
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
