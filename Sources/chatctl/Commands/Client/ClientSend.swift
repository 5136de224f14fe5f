import ArgumentParser
import Glibc
import RelayClient
import RelayControl
import RelayModel
import Synchronization

/// `chatctl client send`
struct ClientSendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send", abstract: "Send messages to a user or a group.",
        discussion: """
            Without a text the messages come from --file or from the standard input, one a line. They are in the outbox on disk before anything is sent: \
            when this is interrupted, the next `send` or `listen` goes on with them.
            """,
        examples: [#"client send "hello" --to bob --state ~/phone"#, #"client send "hello all" --group team --state ~/phone"#])

    enum Stage: String, ExpressibleByArgument, CaseIterable { case sent, delivered, read }

    @Argument(help: "The message.")
    var text: String?

    @Option(help: ArgumentHelp("The recipient's user name, or the title of a group.", valueName: "user"))
    var to: String?

    @Option(help: ArgumentHelp("The recipient's user name, whatever groups are called.", valueName: "user"))
    var user: String?

    @Option(help: ArgumentHelp("The group's title or number.", valueName: "group"))
    var group: String?

    @Option(help: ArgumentHelp("Send each line of a file as a message; “-” is the standard input.", valueName: "path"), completion: .file())
    var file: String?

    @Option(help: "Until when to wait: on the relay's disk, on a device of the recipient, or read.")
    var wait = Stage.sent

    @Option(help: ArgumentHelp("Give up waiting after so long, as 30s, 5m or 1h; what is not sent stays in the outbox.", valueName: "span"))
    var timeout: Lifetime?

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if [to, user, group].count(where: { $0 != nil }) != 1 { throw ValidationError("give one of --to, --user and --group") }
        if text != nil, file != nil { throw ValidationError("give a text or --file, not both") }
    }

    func run() async throws {
        try await translatingClientErrors {
            let texts = try text.map { [$0] } ?? LineReader.lines(of: file ?? "-")
            guard !texts.isEmpty else { throw ControlError(.badRequest, "there is nothing to send", hint: "the input is empty") }
            let progress = SendProgress()
            let session = try Session(client.directory) { progress.handle($0) }
            do {
                let ids = try await queue(texts, session)
                progress.begin(ids)
                await session.start()
                try await session.wait(for: ids, stage, timeout: timeout.map { .seconds($0.seconds) })
                let dead = try await session.read { state throws(ClientError) in try state.deadLetters() }.filter { ids.contains($0.id) }
                await session.close()
                Talk.endProgress()
                try ClientChange.report(
                    ChangeOutcome(to: name, messages: ids.count, reached: wait.rawValue, dead: dead.map { DeadLetterReport($0) }), dead, client
                ) { "\(Figures.number($0, "message")) to \(name): \(wait.rawValue)." }
            } catch {
                await session.close()
                Talk.endProgress()
                throw error
            }
        }
    }

    private var stage: SendStage {
        switch wait {
        case .sent: .sent
        case .delivered: .delivered
        case .read: .read
        }
    }

    private var name: String { group ?? user ?? to ?? "" }

    private func queue(_ texts: [String], _ session: Session) async throws -> [Int64] {
        if let group {
            let target = try await session.read { state throws(ClientError) in try state.findGroup(group) }
            return try await session.send(texts, toGroup: target)
        }
        if let user { return try await session.send(texts, to: user) }
        let name = to ?? ""
        // A group of that title, unless somebody of that name is known: nobody shall receive what is meant for somebody else.
        let target = try await session.read { state throws(ClientError) in try state.groupForRecipient(name) }
        if let target { return try await session.send(texts, toGroup: target) }
        return try await session.send(texts, to: name)
    }
}

/// Counts what came back and says so on the terminal. Any thread.
final class SendProgress: Sendable {
    private struct State {
        var waiting: Set<Int64> = []
        var total = 0
        var offline = false
    }
    private let state = Mutex(State())

    func begin(_ ids: [Int64]) {
        state.withLock {
            $0.waiting = Set(ids)
            $0.total = ids.count
        }
    }

    func handle(_ event: SessionEvent) {
        switch event {
        case .sent(let id, _): count(id)
        case .dead(let letter): count(letter.id)
        case .connected:
            if state.withLock({ state in
                defer { state.offline = false }
                return state.offline
            }) {
                Talk.endProgress()
                Talk.say("connected again")
            }
        case .disconnected(let error, _):
            let first = state.withLock { state in
                defer { state.offline = true }
                return !state.offline
            }
            if first {
                Talk.endProgress()
                Talk.say("\(error.description); trying again")
            }
        case .conflict, .decisionRefused:
            Talk.endProgress()
            event.tellDecision()
        default: break
        }
    }

    private func count(_ id: Int64) {
        let (done, total) = state.withLock { state in
            state.waiting.remove(id)
            return (state.total - state.waiting.count, state.total)
        }
        if total > 1, done % 16 == 0 || done == total { Talk.progress("\(Figures.count(done)) of \(Figures.count(total)) sent") }
    }
}

/// Reads messages from a file, one a line.
enum LineReader {
    /// The lines without their line feeds; bytes that are not UTF-8 are refused, because they would not arrive as they are.
    static func lines(of path: String) throws(ControlError) -> [String] {
        let bytes = try contents(of: path)
        var lines: [String] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            guard let line = String(validating: rest[..<end], as: UTF8.self) else {
                throw ControlError(
                    .badRequest, "line \(lines.count + 1) of \(name(path)) is not UTF-8", hint: "convert the text first, for instance with iconv")
            }
            lines.append(line)
            guard lines.count <= Limits.clientOutbox else {
                throw ControlError(.badRequest, "\(name(path)) has more than \(Limits.clientOutbox) lines", hint: "send it in parts")
            }
            rest = end == rest.endIndex ? [] : rest[(end + 1)...]
        }
        return lines
    }

    private static func name(_ path: String) -> String { path == "-" ? "the standard input" : path }

    private static func contents(of path: String) throws(ControlError) -> [UInt8] {
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ControlError(.badRequest, "\(path) cannot be read: \(String(cString: strerror(errno)))") }
        defer { if path != "-" { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw ControlError(.failed, "\(name(path)) cannot be read: \(String(cString: strerror(errno)))")
            }
            bytes += chunk[..<count]
            guard bytes.count <= maximumBytes else {
                throw ControlError(.badRequest, "\(name(path)) is larger than \(Figures.bytes(maximumBytes))", hint: "send it in parts")
            }
        }
    }

    /// All of it is held in memory and copied into the outbox.
    private static let maximumBytes = 256 << 20
}
