import Foundation
import RelayControl

/// The control socket as curl(1) sees it: a second, independent client beside chatctl.
package struct ControlSocket: Sendable {
    package let path: String
    package init(path: String) { self.path = path }

    /// One request; gives the status and the body.
    package func request(_ method: String, _ resource: String, body: String? = nil) async throws -> (status: Int, body: String) {
        var arguments = ["--silent", "--show-error", "--max-time", "30", "--unix-socket", path, "--request", method, "--write-out", "\n%{http_code}"]
        if body != nil { arguments += ["--header", "content-type: application/json", "--data-binary", "@-"] }
        return try await curl(arguments, resource, Array((body ?? "").utf8))
    }

    private func curl(_ arguments: [String], _ resource: String, _ input: [UInt8]) async throws -> (status: Int, body: String) {
        let (status, output, errors) = try await Subprocess.run("curl", arguments + ["http://relayd\(resource)"], input: input)
        guard status == .exited(0) else { throw SupportFailure("curl ended with \(status): \(errors)") }
        guard let end = output.lastIndex(of: "\n"), let code = Int(output[output.index(after: end)...]) else {
            throw SupportFailure("curl gave no status: \(output)")
        }
        return (code, String(output[..<end]))
    }

    /// Performs an operation; throws the relay's typed error.
    package func call<Operation: ControlOperation>(_ operation: Operation) async throws -> Operation.Reply {
        let body = String(decoding: try JSONEncoder().encode(operation), as: UTF8.self)
        let reply = try await request("POST", "/v1/\(Operation.name.path)", body: body)
        guard reply.status == 200 else { throw try JSONDecoder().decode(ControlError.self, from: Data(reply.body.utf8)) }
        return try JSONDecoder().decode(Operation.Reply.self, from: Data(reply.body.utf8))
    }
}
