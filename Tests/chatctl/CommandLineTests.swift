import ArgumentParser
import Foundation
import RelayControl
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// The real program without a relay.
@Suite struct CommandLineTests {
    private let chatctl = Chatctl(socket: "/nonexistent/control.sock")

    @Test(
        "Usage errors exit with 64 and say how it goes",
        arguments: [
            ["nonsense"], ["user", "add"], ["user", "add", "a", "b"], ["status", "--nonsense"], ["device", "show", "abc"], ["invite", "revoke", "0"],
            ["invite", "create", "a", "--expires", "soon"], ["user", "list", "--limit", "x"],
            ["contact", "list"], ["contact", "add", "a", "b"], ["contact", "list", "--user", "a", "--state", "friend"], ["block", "add", "a", "b"],
            ["block", "remove", "a", "b"], ["block", "remove", "a", "--reason", "x"], ["device", "kick"], ["key", "show", "x"], ["user", "export"],
            ["bench", "nonsense"], ["bench", "--pairs", "0"], ["bench", "pairs", "--size", "15"], ["bench", "--rate", "0"],
            ["bench", "--seconds", "601"], ["bench", "fanout", "--members", "1"], ["bench", "fanout", "--members", "1001"],
            ["bench", "fanout", "--members", "3", "--senders", "4"], ["bench", "offline", "--pairs", "10", "--messages", "9"],
            ["bench", "offline", "--backlog", "-1"], ["bench", "idle", "--connections", "0"], ["bench", "seed", "--connections", "3"],
            ["bench", "seed", "--every", "0"], ["bench", "surge", "--seconds", "x"], ["bench", "keys", "--contacts", "1001"],
            ["client", "presence", "list"], ["client", "presence", "list", "--state", "x", "--timeout", "0"],
            ["client", "presence", "group", "--state", "x"],
            ["bench", "presence", "--contacts", "3"], ["bench", "presence", "--users", "10", "--contacts", "10"],
            ["retention", "set"], ["retention", "set", "--remove"], ["retention", "set", "--delivered", "0d"], ["retention", "set", "--space", "1K"],
            ["retention", "set", "--class", "x", "--remove", "--space", "1M"], ["retention", "assign"],
            ["metrics", "show", "--json", "--prometheus"],
            ["metrics", "people", "--periods", "0"], ["metrics", "people", "--periods", "367"], ["metrics", "budget", "x"], ["metrics", "nonsense"],
            ["bench", "keys", "--changes", "51"], ["config", "show", "--all"], ["config", "diff", "x"], ["check", "everything"],
            ["health", "live", "--timeout", "soon"], ["health", "ready", "now"], ["top", "--interval", "0s"], ["top", "--interval", "61s"],
            ["top", "--count", "0"], ["status", "x"],
        ])
    func usage(arguments: [String]) async throws {
        let result = try await chatctl.run(arguments)
        #expect(result.status == .exited(64))
        #expect(result.standardError.hasPrefix("chatctl: error: "))
        #expect(result.standardError.contains("\nchatctl: hint: usage: chatctl"))
        #expect(result.standardOutput.isEmpty)
    }

    @Test(
        "What destroys asks, and without a terminal needs --yes",
        arguments: [
            ["user", "remove", "alice"], ["device", "revoke", "7"], ["invite", "revoke", "7"], ["block", "add", "a", "b", "--reason", "x"],
        ])
    func confirmation(arguments: [String]) async throws {
        let refused = try await chatctl.run(arguments)
        #expect(refused.status == .exited(64))
        #expect(refused.standardError.contains("chatctl: hint: add --yes to do it, or --dry-run to see what it would do"))
        for word in ["--yes", "--dry-run"] { #expect(try await chatctl.run(arguments + [word]).status == .exited(69)) }
    }

    @Test func anUnreachableDaemonExitsWith69() async throws {
        let directory = try TemporaryDirectory()
        let missing = try await Chatctl(socket: directory.file("none")).run("status")
        #expect(missing.status == .exited(69))
        #expect(missing.standardError.contains("chatctl: hint: systemctl start relayd"))
    }

    @Test(arguments: [
        ["bench"], ["bench", "fanout"], ["bench", "offline"], ["bench", "idle"], ["bench", "seed"], ["bench", "surge"], ["bench", "keys"],
    ])
    func aLoadWithoutADaemonExitsWith69(arguments: [String]) async throws {
        #expect(try await chatctl.run(arguments).status == .exited(69))
    }

    @Test func tooManyConnectionsAreRefusedBeforeAnythingIsAdded() async throws {
        let result = try await chatctl.run("bench", "idle", "--connections", "100000")
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        guard limit.rlim_max < 100_000 else { return }
        #expect(result.status == .exited(1))
        #expect(result.standardError.contains("connections are not possible"))
    }

    @Test func aSocketWithoutAListenerExitsWith69() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("s")
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        let result = try await Chatctl(socket: path).run("status")
        #expect(result.status == .exited(69))
        #expect(result.standardError.contains("nobody answers"))
    }

    @Test func theOptionGoesBeforeTheEnvironment() async throws {
        let result = try await chatctl.run("status", "--socket", "/nonexistent/other")
        #expect(result.standardError.contains("/nonexistent/other"))
    }

    @Test func helpAndVersionGoToTheStandardOutput() async throws {
        for arguments in [["--help"], ["user", "add", "--help"], ["bench", "--help"], ["bench", "surge", "--help"], ["--version"], []] {
            let result = try await chatctl.run(arguments)
            #expect(result.succeeded)
            #expect(!result.standardOutput.isEmpty)
            #expect(result.standardError.isEmpty)
        }
    }
}
