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
    /// Waits for relayd, so that no thread of Swift's pool does: a load has many clients.
    private let queue = DispatchQueue(label: "control")
    private let greeted = Mutex(false)
    private let patience: Duration?

    /// - Parameters:
    ///   - socket: path of the Unix socket. Nothing is opened before the first call.
    ///   - patience: for each reply; nil: what the operation says.
    init(socket: String, patience: Duration? = nil) {
        self.socket = socket
        self.patience = patience
        http = UnixHTTPClient(path: socket)
    }

    /// Sends an operation and waits for its reply. The first call asks for the protocol's version first.
    func call<Operation: ControlOperation>(_ operation: Operation) async throws(ControlError) -> Operation.Reply {
        if !greeted.withLock({ $0 }) {
            let hello = try await exchange(Hello())
            guard hello.protocolVersion == controlProtocolVersion else {
                throw ControlError(
                    .versionMismatch,
                    "relayd \(hello.relayVersion) speaks version \(hello.protocolVersion) of the control protocol, this chatctl version \(controlProtocolVersion)",
                    hint: "install relayd and chatctl of the same version, then: systemctl restart relayd")
            }
            greeted.withLock { $0 = true }
        }
        return try await exchange(operation)
    }

    /// What relayd answers to `GET` as it is: for replies that are not JSON.
    func text(_ path: String) async throws(ControlError) -> String {
        String(decoding: try await request("GET", path, patience: patience ?? Limits.controlPatience), as: UTF8.self)
    }

    /// The body of a good reply.
    private func request(_ method: String, _ path: String, json: [UInt8] = [], patience: Duration) async throws(ControlError) -> [UInt8] {
        let result: Result<(status: Int, body: [UInt8]), HTTPClientError> = await withCheckedContinuation { [http] continuation in
            queue.async {
                do throws(HTTPClientError) {
                    continuation.resume(returning: .success(try http.request(method, path, json: json, patience: patience)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        switch result {
        case .success((200, let body)): return body
        case .success((let status, let body)):
            if let failure = try? JSONDecoder().decode(ControlError.self, from: Data(body)) { throw failure }
            throw ControlError(.failed, "\(socket) answered with HTTP status \(status) and no reason", hint: "is it relayd's control socket?")
        case .failure(let error): throw explain(error)
        }
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
                hint: "install relayd and chatctl of the same version")
        }
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
                ControlError(.daemonUnreachable, "relayd is not running: there is no socket \(socket)", hint: "systemctl start relayd")
            case ECONNREFUSED:
                ControlError(.daemonUnreachable, "relayd is not running: nobody answers on \(socket)", hint: "systemctl start relayd")
            case EAGAIN:
                ControlError(.tryAgain, "relayd is too busy to answer on \(socket)", hint: "try again in a moment")
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
