import NIOCore
import NIOHTTP1
import RelayHTTP
import RelayModel
import Subprocess
import SystemPackage

/// Where notices go.
package enum NoticeTarget: Sendable, Equatable {
    /// A program, by its absolute path. It is run as relayd's user, without arguments, with the notice in its environment.
    case command(String)
    /// The notice as JSON in a POST. The path begins with a slash.
    case webhook(Endpoint, path: String)

    /// From `http://host:port/path` or `https://host:port/path`; nil for anything else.
    package init?(webhook url: String) {
        guard url.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), !url.contains("#"), let endpoint = try? Endpoint(url: url),
            let scheme = ["http://", "https://"].first(where: url.hasPrefix)
        else { return nil }
        let path = url.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
        self = .webhook(endpoint, path: path.hasPrefix("/") ? String(path) : "/" + path)
    }
}

/// Why a notice did not arrive.
package enum NoticeError: Error, Sendable, Equatable, CustomStringConvertible {
    case cannotStart(String)
    case exited(Int)
    case signaled(Int)
    case answered(Int)
    case unreachable(String)
    case timeout(Duration)

    package var description: String {
        switch self {
        case .cannotStart(let text): "the command cannot be started: \(text)"
        case .exited(let status): "the command ended with status \(status)"
        case .signaled(let number): "the command was ended by signal \(number)"
        case .answered(let status): "the server answered \(status)"
        case .unreachable(let text): "the server did not answer: \(text)"
        case .timeout(let patience): "it took longer than \(patience.components.seconds) seconds"
        }
    }
}

/// Brings one notice to its target, once.
struct NoticeCarrier: Sendable {
    var target: NoticeTarget
    var group: any EventLoopGroup

    /// - Parameter patience: a command that takes longer is killed, with all that it started.
    func carry(_ notice: AlertNotice, patience: Duration) async throws(NoticeError) {
        switch target {
        case .command(let path): try await run(path, notice, patience)
        case .webhook(let endpoint, let path): try await post(endpoint, path, notice, patience)
        }
    }

    private func run(_ path: String, _ notice: AlertNotice, _ patience: Duration) async throws(NoticeError) {
        guard let json = try? notice.json() else { throw .cannotStart("the notice cannot be written as JSON") }
        // Nothing on its standard input, which a command that does not read would break; and nothing of relayd's own environment.
        let environment = Environment.custom([
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RELAYD_ALERT": String(decoding: json, as: UTF8.self), "RELAYD_ALERT_STATE": notice.state.rawValue, "RELAYD_ALERT_KIND": notice.kind,
            "RELAYD_ALERT_SEVERITY": notice.severity.rawValue, "RELAYD_ALERT_TEXT": notice.text,
        ])
        // A session of its own, so that what a script started is killed with it.
        var platform = PlatformOptions()
        platform.createSession = true
        platform.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
        let options = platform
        let result = await withTaskGroup(of: Result<TerminationStatus, NoticeError>.self) { group in
            group.addTask {
                do {
                    return .success(
                        try await Subprocess.run(
                            .path(FilePath(path)), environment: environment, workingDirectory: "/", platformOptions: options,
                            output: .discarded, error: .discarded
                        ).terminationStatus)
                } catch {
                    return .failure(.cannotStart("\(error)"))
                }
            }
            group.addTask {
                try? await Task.sleep(for: patience)
                return .failure(.timeout(patience))
            }
            let first = await group.next() ?? .failure(.timeout(patience))
            // Kills the command when it is the one that is late.
            group.cancelAll()
            return first
        }
        switch try result.get() {
        case .exited(0): return
        case .exited(let status): throw .exited(Int(status))
        case .signaled(let number): throw .signaled(Int(number))
        }
    }

    private func post(_ endpoint: Endpoint, _ path: String, _ notice: AlertNotice, _ patience: Duration) async throws(NoticeError) {
        guard let json = try? notice.json() else { throw .unreachable("the notice cannot be written as JSON") }
        let client = HTTPClient(endpoint: endpoint, group: group, timeout: patience, maxReplyBytes: 1 << 16)
        let reply: HTTPReply
        do throws(HTTPClientError) {
            reply = try await client.request(.POST, path, headers: [("content-type", "application/json")], body: json)
        } catch {
            await client.close()
            if case .timeout = error { throw .timeout(patience) }
            throw .unreachable("\(error)")
        }
        await client.close()
        guard (200..<300).contains(reply.status) else { throw .answered(reply.status) }
    }
}
