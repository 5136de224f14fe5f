import Dispatch
import FoundationEssentials
import Glibc
import RelayControl
import RelayHTTP
import RelayModel
import RelayTLS
import Synchronization

/// Calls operations of relayd over its control socket. One request after another; any thread.
final class ControlClient: Sendable {
    private let socket: String
    private let http: UnixHTTPClient
    /// Waits for relayd where a thread of Swift's pool would have to: a load has many clients.
    private let queue = DispatchQueue(label: "control")
    /// What relayd said of itself, once it was asked.
    private let relay = Mutex<Hello.Reply?>(nil)
    private let patience: Duration?

    /// - Parameters:
    ///   - socket: path of the Unix socket. Nothing is opened before the first call.
    ///   - patience: for each reply; nil: what the operation says.
    init(socket: String, patience: Duration? = nil) {
        self.socket = socket
        self.patience = patience
        http = UnixHTTPClient(path: socket)
    }

    /// Sends an operation and waits for its reply. Before the first one that changes something relayd is asked for the protocol's version. What only
    /// reads can be asked of any relay, and only a reply that is not understood brings that question: a small command would wait twice as long.
    func call<Operation: ControlOperation>(_ operation: Operation) async throws(ControlError) -> Operation.Reply {
        if Operation.name.access != .view { try await greet() }
        do throws(ControlError) { return try await exchange(operation) } catch {
            let isUnknown = Self.isUnknown(Operation.name, error)
            guard isUnknown || error.code == .versionMismatch else { throw error }
            let version = try await greet().relayVersion
            guard isUnknown else { throw error }
            // What relayd refuses because it does not know the question is no fault of who asked.
            throw ControlError(
                .versionMismatch, "relayd \(version) does not know what this chatctl \(relayVersion) asks of it: \(error.message)",
                hint: Self.sameVersion)
        }
    }

    /// Who answers, asked once; throws when it speaks another version of the protocol.
    @discardableResult func greet() async throws(ControlError) -> Hello.Reply {
        if let known = relay.withLock({ $0 }) { return known }
        let hello = try await exchange(Hello())
        guard hello.protocolVersion == controlProtocolVersion else {
            throw ControlError(
                .versionMismatch,
                "relayd \(hello.relayVersion) speaks version \(hello.protocolVersion) of the control protocol, this chatctl version \(controlProtocolVersion)",
                hint: Self.sameVersion)
        }
        relay.withLock { $0 = hello }
        return hello
    }

    private static func isUnknown(_ name: ControlOperationName, _ error: ControlError) -> Bool {
        error.code == .notFound && error.message == "there is no operation at /v1/\(name.path)"
            || error.code == .badRequest && error.message.hasPrefix("\(name.path): there is no field ")
    }

    private static let sameVersion = "install relayd and chatctl of the same version, then: systemctl restart relayd"

    /// What relayd answers to `GET` as it is: for replies that are not JSON.
    func text(_ path: String) async throws(ControlError) -> String {
        String(decoding: try await request("GET", path, patience: patience ?? Limits.controlPatience), as: UTF8.self)
    }

    /// The body of a good reply.
    private func request(_ method: String, _ path: String, json: [UInt8] = [], patience: Duration) async throws(ControlError) -> [UInt8] {
        let ask: @Sendable () -> Result<(status: Int, body: [UInt8]), HTTPClientError> = { [http] in
            Result { () throws(HTTPClientError) in try http.request(method, path, json: json, patience: patience) }
        }
        let result =
            if CallingThread.isCurrent { ask() } else {
                await withCheckedContinuation { continuation in queue.async { continuation.resume(returning: ask()) } }
            }
        switch result {
        case .success((200, let body)): return body
        case .success((let status, let body)):
            if let failure = try? JSONDecoder().decode(ControlError.self, from: Data(body)) { throw failure }
            // Of a later version, which has codes that this one does not know.
            if let failure = try? JSONDecoder().decode(LaterFailure.self, from: Data(body)) {
                throw ControlError(.failed, failure.message, hint: failure.hint)
            }
            throw ControlError(.failed, "\(socket) answered with HTTP status \(status) and no reason", hint: "is it relayd's control socket?")
        case .failure(let error): throw explain(error)
        }
    }

    private struct LaterFailure: Decodable {
        var message: String
        var hint: String?
    }

    private func exchange<Operation: ControlOperation>(_ operation: Operation) async throws(ControlError) -> Operation.Reply {
        let body: [UInt8]
        do {
            body = Array(try JSONEncoder().encode(operation))
        } catch {
            throw ControlError(.badRequest, "the request cannot be written as JSON: \(error)")
        }
        let reply = try await request("POST", "/v1/" + Operation.name.path, json: body, patience: patience ?? Operation.patience)
        do {
            return try JSONDecoder().decode(Operation.Reply.self, from: Data(reply))
        } catch {
            throw ControlError(
                .versionMismatch, "relayd's reply to \(Operation.name.path) has another shape than this chatctl knows",
                hint: Self.sameVersion)
        }
    }

    /// What the address of a Unix socket has room for: see unix(7).
    private static let pathBytes = 107

    private var start: String {
        "systemctl start relayd" + (socket == defaultControlSocket ? "" : "; where its socket is, [control] of relayd.toml says")
    }

    private var isSocket: Bool {
        var status = stat()
        return stat(socket, &status) != 0 || status.st_mode & S_IFMT == S_IFSOCK
    }

    private func explain(_ error: HTTPClientError) -> ControlError {
        switch error {
        case .connect(let failure):
            switch failure.errnoCode {
            case EACCES, EPERM:
                ControlError(
                    .notPermitted, "\(socket) may not be opened by this user",
                    hint: "run it as root or as a member of the group relayd-admin (to read only: relayd-view)")
            case ENOENT:
                ControlError(.daemonUnreachable, "relayd is not running: there is no socket \(socket)", hint: start)
            case ECONNREFUSED where !isSocket:
                ControlError(.daemonUnreachable, "\(socket) is no socket", hint: "name relayd's control socket with --socket or $CHATCTL_SOCKET")
            case ECONNREFUSED:
                ControlError(.daemonUnreachable, "relayd is not running: nobody answers on \(socket)", hint: start)
            case EAGAIN:
                ControlError(.tryAgain, "relayd is too busy to answer on \(socket)", hint: "try again in a moment")
            case ENAMETOOLONG:
                ControlError(
                    .badRequest, "the path of the control socket is longer than \(Self.pathBytes) bytes: \(socket)",
                    hint: "name relayd's control socket with --socket or $CHATCTL_SOCKET")
            default:
                ControlError(
                    .daemonUnreachable, "\(socket) cannot be opened: \(failure.text)", hint: "systemctl status relayd says how relayd is")
            }
        case .timeout:
            ControlError(.tryAgain, "relayd did not answer in time", hint: "systemctl status relayd says how relayd is")
        case .closed:
            ControlError(.daemonUnreachable, "relayd closed the connection before it answered", hint: "journalctl -u relayd says why")
        case .replyTooLarge:
            ControlError(.failed, "relayd's reply is larger than chatctl accepts", hint: "ask for less, for instance with --limit")
        case .tls(let failure):
            ControlError(.failed, failure.description, hint: failure.hint)
        case .malformed(let reason):
            ControlError(.failed, "what answers on \(socket) does not speak HTTP: \(reason)", hint: "is it relayd's control socket?")
        }
    }
}
