import Foundation
import RelayClient
import RelayControl
import RelayModel
import RelayTestSupport
import Synchronization
import Testing

/// relayd is killed again and again while people write to each other; afterwards every promise is checked.
@Suite("Crashes under load") struct CrashTests {
    static let kills = 50
    static let pairs = 3

    @Test(.timeLimit(.minutes(10))) func nothingThatWasAnsweredIsLostOrDoubled() async throws {
        let seed = ProcessInfo.processInfo.environment["CRASH_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: .min ... .max)
        print("crash test: seed \(seed) (CRASH_SEED=\(seed) repeats its decisions)")
        let relay = try RelayProcess(logLevel: "warning")
        try await relay.start()
        let directory = try TemporaryDirectory()
        let checker = HistoryChecker()

        var conversations: [Conversation] = []
        for pair in 0..<Self.pairs {
            conversations.append(try await Conversation(pair, relay, directory, checker))
        }
        let byHand = try await HandMadeSender(relay)

        let stop = Flag()
        let killed = try await withThrowingTaskGroup(of: Void.self) { group in
            // Whoever fails ends it for all: the others write until they are told to stop, and a run that waited for them would never report.
            defer { stop.raise() }
            func add(_ work: @escaping @Sendable () async throws -> Void) {
                group.addTask {
                    defer { stop.raise() }
                    try await work()
                }
            }
            for conversation in conversations {
                for side in 0...1 { add { try await conversation.write(from: side, until: stop) } }
            }
            add { try await byHand.run(until: stop) }
            // The killer: after a random number of further answers, and a random moment more.
            var random = SeededGenerator(seed: seed)
            var kills = 0
            while kills < Self.kills, !stop.isRaised {
                let wanted = checker.answeredCount + Int.random(in: 0...30, using: &random)
                for conversation in conversations.prefix(1) { try await conversation.waitUntil(answered: wanted) }
                // Not a wait for anything: the moment of the kill is meant to be arbitrary between two commits.
                try await Task.sleep(for: .microseconds(Int.random(in: 0...20_000, using: &random)))
                try await relay.kill()
                kills += 1
                try await relay.start()
            }
            stop.raise()
            try await group.waitForAll()
            return kills
        }
        #expect(killed >= 50)

        for conversation in conversations { try await conversation.finish() }
        let violations = checker.violations() + (try await byHand.violations())
        #expect(violations.isEmpty, "seed \(seed): \(violations.prefix(20).joined(separator: "\n"))")
        print("crash test: \(killed) kills, \(checker.answeredCount) messages answered by the library, \(byHand.answeredCount) by hand")
        #expect(checker.answeredCount > killed)
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }

    final class Flag: Sendable {
        private let raised = Atomic(false)
        var isRaised: Bool { raised.load(ordering: .relaxed) }
        func raise() { raised.store(true, ordering: .relaxed) }
    }

    /// Two people with two devices each, all four connected; both phones write.
    final class Conversation: Sendable {
        private let phones: [TestDevice]
        private let laptops: [TestDevice]
        private let users: [String]
        private let checker: HistoryChecker
        private let texts = Mutex<[String: [Int64: String]]>([:])

        init(_ pair: Int, _ relay: RelayProcess, _ directory: TemporaryDirectory, _ checker: HistoryChecker) async throws {
            self.checker = checker
            users = ["left\(pair)", "right\(pair)"]
            var phones: [TestDevice] = []
            var laptops: [TestDevice] = []
            for user in users {
                _ = try await relay.chatctl.addUser(user)
                for name in ["phone", "laptop"] {
                    let full = "\(user).\(name)"
                    let device = try await TestDevice(
                        name: full, link: try await relay.chatctl.invite(user).link, directory: StateDirectory(directory.file(full)))
                    try await device.goOnline()
                    if name == "phone" { phones.append(device) } else { laptops.append(device) }
                }
            }
            self.phones = phones
            self.laptops = laptops
        }

        /// Writes a few messages, waits until they are answered, and so on.
        func write(from side: Int, until stop: Flag) async throws {
            let phone = phones[side]
            var number = 0
            while !stop.isRaised {
                let batch = (0..<5).map { "\(phone.name) wrote number \(number + $0)" }
                number += batch.count
                let ids = try await phone.session.send(batch, to: users[1 - side])
                texts.withLock { texts in
                    for (id, text) in zip(ids, batch) { texts[phone.name, default: [:]][id] = text }
                }
                try await phone.session.wait(for: ids, .sent, timeout: .seconds(300))
                report()
            }
        }

        /// Tells the checker what the relay has answered so far.
        private func report() {
            for phone in phones {
                for (id, place) in phone.log.answers {
                    guard let text = texts.withLock({ $0[phone.name]?[id] }) else { continue }
                    let key = HistoryChecker.Key(sender: phone.account.device.description, clientMessageID: place.clientMessageID)
                    let others = Set((phones + laptops).map(\.name)).subtracting([phone.name])
                    checker.wrote(key, text: text, for: others)
                    checker.answered(key, HistoryChecker.Place(place))
                }
            }
        }

        func waitUntil(answered count: Int) async throws {
            let mine = phones[0].log.answers.count
            let share = max(0, (count - checker.answeredCount) / (2 * CrashTests.pairs))
            try await phones[0].wait(for: "answers", timeout: .seconds(300)) { $0.answers.count >= mine + share }
        }

        /// Waits until everything has arrived everywhere, then tells the checker what the devices showed.
        func finish() async throws {
            for phone in phones { try await phone.session.waitUntilSent(timeout: .seconds(300)) }
            report()
            let sent = phones.map { phone in texts.withLock { $0[phone.name]?.count ?? 0 } }
            for side in 0...1 {
                try await phones[side].wait(for: "all messages of the other side", timeout: .seconds(300)) { $0.received.count >= sent[1 - side] }
                try await laptops[side].wait(for: "all messages", timeout: .seconds(300)) { $0.received.count >= sent[0] + sent[1] }
            }
            for device in phones + laptops {
                try await device.close()
                for entry in device.log.received {
                    let key = HistoryChecker.Key(sender: entry.senderDevice.description, clientMessageID: entry.clientMessageID)
                    let place = HistoryChecker.Place(chat: entry.chat.rawValue, chatSeq: entry.chatSeq, messageID: entry.message.rawValue)
                    checker.delivered(to: device.name, key, place, text: entry.text ?? "unreadable: \(entry.problem ?? "")")
                }
            }
        }
    }
}

extension HistoryChecker.Place {
    init(_ place: SentPlace) { self.init(chat: place.chat.rawValue, chatSeq: place.chatSeq, messageID: place.message.rawValue) }
}

/// A sender without the client library, which sends every message twice, repeats what was not answered, and compares the answers.
final class HandMadeSender: Sendable {
    private let relay: RelayProcess
    private let sender: WireDevice
    private let receiver: WireDevice
    private struct State {
        var answers: [Int: String] = [:]
        var problems: [String] = []
    }
    private let state = Mutex(State())

    init(_ relay: RelayProcess) async throws {
        self.relay = relay
        // Before the first kill: an enrolment whose answer is lost cannot be repeated.
        let codes = [try await relay.chatctl.addUser("handmade").invite.code, try await relay.chatctl.addUser("listener").invite.code]
        let port = relay.port
        sender = try await blocking { try WireDevice(port: port, code: codes[0]) }
        receiver = try await blocking { try WireDevice(port: port, code: codes[1]) }
    }

    var answeredCount: Int { state.withLock { $0.answers.count } }

    /// What identifies an answer: everything behind the request's own number.
    private struct Answer: Decodable {
        struct Sent: Decodable, Equatable {
            var chatId: String
            var clientMessageId: String
            var messageId: String
            var chatSeq: String
            var sentAtMs: String
        }
        var sent: Sent?
    }

    func run(until stop: CrashTests.Flag) async throws {
        let port = relay.port
        try await blocking { [self] in
            var sender = sender
            struct Chat: Decodable { var chatId: String }
            let chat = try persistently(stop) {
                try sender.signIn()
                let reply = try RawConnection(port: port).json(
                    "POST", "/v1/chats", "{\"userId\": \"\(receiver.user)\"}", headers: sender.authorization)
                return try JSONDecoder().decode(Chat.self, from: Data(reply.body)).chatId
            }
            // As the protocol wants them: ascending.
            let devices = [sender, receiver].sorted { (UInt64($0.user) ?? 0) < (UInt64($1.user) ?? 0) }
            func frame(_ number: Int) -> String {
                let keys = devices.map { device in
                    "{\"userId\": \"\(device.user)\", \"devices\": [{\"deviceId\": \"\(device.id)\", \"key\": \"\(Data(repeating: 9, count: 48).base64EncodedString())\"}]}"
                }
                let body = Data("hand-made \(number)".utf8).base64EncodedString()
                return """
                    {"requestId": "\(number)", "send": {"chatId": "\(chat)", "clientMessageId": "\(number)", "body": "\(body)", \
                    "keys": [\(keys.joined(separator: ","))]}}
                    """
            }
            var connection: RawConnection?
            var number = 1
            while !stop.isRaised {
                do {
                    let open =
                        try connection
                        ?? {
                            try sender.signIn()
                            return try sender.connect()
                        }()
                    connection = open
                    // Twice each: the second one is a retry for certain, the first one is after a crash.
                    for _ in 0..<2 {
                        open.sendText(frame(number))
                        let text = try open.readText(containing: "\"sent\"")
                        note(number, try JSONDecoder().decode(Answer.self, from: Data(text.utf8)).sent)
                    }
                    number += 1
                } catch {
                    connection = nil
                    usleep(5000)
                }
            }
        }
    }

    private func note(_ number: Int, _ answer: Answer.Sent?) {
        state.withLock { state in
            guard let answer else { return state.problems.append("#\(number) was answered without a place") }
            let text = "message \(answer.messageId) at \(answer.chatSeq), \(answer.sentAtMs)"
            if let first = state.answers[number], first != text { state.problems.append("#\(number) got “\(first)” first and “\(text)” later") }
            state.answers[number] = text
        }
    }

    /// The relay may be away at any moment.
    private func persistently<Result>(_ stop: CrashTests.Flag, _ body: () throws -> Result) throws -> Result {
        while true {
            do {
                return try body()
            } catch {
                guard !stop.isRaised else { throw error }
                usleep(5000)
            }
        }
    }

    /// Reads the receiver's whole mailbox and compares it with the answers.
    func violations() async throws -> [String] {
        try await blocking { [self] in
            let (answers, problems) = state.withLock { ($0.answers, $0.problems) }
            var receiver = receiver
            try receiver.signIn()
            let connection = try RawConnection(port: receiver.port)
            guard try connection.upgrade(token: receiver.token).status == 101 else { return ["the listener cannot connect"] }
            struct Frame: Decodable {
                struct Deliver: Decodable { var envelopes: [Envelope] }
                struct Envelope: Decodable {
                    var mailboxSeq: String
                    var messageId: String
                    var chatSeq: String
                    var sentAtMs: String
                    var clientMessageId: String
                }
                var deliver: Deliver?
                var caughtUp: [String: String]?
            }
            var found = problems
            var delivered: [Int: String] = [:]
            var last = 0
            while true {
                let frame = try JSONDecoder().decode(Frame.self, from: Data(try connection.readFrame().payload))
                for envelope in frame.deliver?.envelopes ?? [] {
                    let number = Int(envelope.clientMessageId) ?? 0
                    if delivered[number] != nil { found.append("the listener got hand-made #\(number) twice") }
                    if number <= last { found.append("the listener got hand-made #\(number) behind #\(last)") }
                    last = number
                    delivered[number] = "message \(envelope.messageId) at \(envelope.chatSeq), \(envelope.sentAtMs)"
                    connection.sendText("{\"ack\": {\"mailboxSeq\": \"\(envelope.mailboxSeq)\"}}")
                }
                if frame.caughtUp != nil { break }
            }
            for (number, answer) in answers where delivered[number] != answer {
                found.append("hand-made #\(number) was answered with “\(answer)”, the listener got “\(delivered[number] ?? "nothing")”")
            }
            return found
        }
    }
}
