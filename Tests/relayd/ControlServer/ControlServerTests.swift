import Foundation
import Logging
import NIOCore
import NIOPosix
import RelayControl
import RelayControlServer
import RelayCrypto
import RelayDirectory
import RelayHTTP
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayRetention
import RelayStorage
import RelayTelemetry
import RelayTestSupport
import Testing

/// The operator protocol on a real socket and a real store; curl is the client, as in the man page.
@Suite struct ControlServerTests {
    /// Runs `body` against a control server.
    private func withServer(
        adminGroup: String = "relayd-admin", viewGroup: String = "relayd-view",
        _ body: (ControlSocket, Directory, TemporaryDirectory) async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let clock = SystemWallClock()
        let store = try Store(path: directory.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let sending = MessageSending(writer: store.writer, readers: store.readers, loops: Array(group.makeIterator()))
        let users = try await Directory(
            writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(),
            settings: DirectorySettings(publicURL: "http://relay.example"), revocations: sending)
        let (listening, listens) = AsyncStream.makeStream(of: Void.self)
        let server = ControlServer(
            settings: ControlServerSettings(
                socket: directory.file("c.sock"), access: AccessPolicy(adminGroup: adminGroup, viewGroup: viewGroup), startedAt: clock.now(),
                listening: ["http://127.0.0.1:1"], publicURL: "http://relay.example", backups: directory.file("backups")),
            store: store, directory: users, sending: sending,
            presence: Presence(writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock()),
            retention: Retention(
                writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), pushMembers: Limits.chatMembers),
            alerts: try await alerts(store, clock, group), metrics: PublishedMetrics(Metrics().snapshot(at: clock.now())),
            ledger: PrivacyLedger(
                tally: PeopleTally(), writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: PeopleSettings()
            ),
            clock: clock, group: group,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            onListening: { listens.finish() })
        let task = Task { try await server.run() }
        for await _ in listening {}
        do {
            try await body(ControlSocket(path: directory.file("c.sock")), users, directory)
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        _ = await task.result
        await store.close()
        try await group.shutdownGracefully()
    }

    private func alerts(_ store: Store, _ clock: any WallClock, _ group: any EventLoopGroup) async throws -> Alerts {
        try await Alerts(
            writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), settings: AlertSettings(),
            inbox: AlertInbox(), relay: "http://relay.example", metrics: Metrics(), group: group,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func enrol(_ code: String, in directory: Directory, name: String = "phone") async throws -> DeviceID {
        let keys = DeviceSecrets.generate(SystemEntropy()).publicKeys
        return try await directory.enrol(
            code: code, deviceName: name,
            keys: DeviceKeySet(identityKey: keys.identityKey, agreementKey: keys.agreementKey, agreementSignature: keys.agreementSignature)
        ).device
    }

    private func failure<Operation: ControlOperation>(_ socket: ControlSocket, _ operation: Operation) async throws -> ControlError {
        do {
            _ = try await socket.call(operation)
        } catch let error as ControlError {
            return error
        }
        throw SupportFailure("\(Operation.name.path) should have failed")
    }

    @Test func aUsersLife() async throws {
        try await withServer { socket, directory, _ in
            #expect(try await socket.call(Hello()).protocolVersion == controlProtocolVersion)
            let added = try await socket.call(UserAdd(user: "Alice", displayName: "Alice A.", inviteLifetimeSeconds: 60))
            #expect(added.user.name == "alice")
            #expect(added.invite.link == "http://relay.example/enrol#\(added.invite.code)")
            #expect(added.user.openInvites == 1)

            let taken = try await failure(socket, UserAdd(user: "ALICE"))
            #expect(taken.code == .alreadyExists)
            #expect(taken.hint == "chatctl user show ALICE")

            let device = try await enrol(added.invite.code, in: directory)
            let shown = try await socket.call(UserShow(user: "alice"))
            #expect(shown.devices.map(\.id) == [device])
            #expect(shown.devices.first?.online == false)
            #expect(shown.openInvites == 0)
            #expect(try await socket.call(DeviceShow(device: device)).name == "phone")
            #expect(try await socket.call(InviteList(user: "alice")).invites.map(\.state) == [.used])
            #expect(try await failure(socket, InviteRevoke(invite: added.invite.id)).code == .notFound)

            #expect(try await socket.call(DeviceRevoke(device: device, dryRun: true)).dryRun)
            #expect(directory.isActive(device))
            #expect(try await socket.call(DeviceRevoke(device: device, reason: "lost")).device.id == device)
            #expect(!directory.isActive(device))

            let second = try await socket.call(InviteCreate(user: "alice"))
            #expect(try await socket.call(InviteRevoke(invite: second.id, dryRun: true)).invite.state == .open)
            #expect(try await socket.call(InviteRevoke(invite: second.id)).invite.state == .revoked)

            let suspended = try await socket.call(UserSuspend(user: "Alice", reason: "looked at"))
            #expect(suspended.suspendedReason == "looked at" && suspended.suspendedAt != nil)
            #expect(try await socket.call(UserList()).users.first?.suspendedReason == "looked at")
            let resumed = try await socket.call(UserResume(user: "alice", reason: "harmless"))
            #expect(resumed.suspendedAt == nil && resumed.suspendedReason == nil)
            #expect(try await failure(socket, UserSuspend(user: "nobody", reason: "x")).code == .notFound)
            #expect(try await failure(socket, UserSuspend(user: "alice", reason: "")).code == .badRequest)

            #expect(try await socket.call(UserRemove(user: "alice", dryRun: true)).dryRun)
            #expect(try await socket.call(UserList()).users.count == 1)
            #expect(try await socket.call(UserRemove(user: "alice", reason: "left")).user == "alice")
            #expect(try await socket.call(UserList()).users.isEmpty)
            #expect(try await failure(socket, UserShow(user: "alice")).code == .notFound)

            let log = try await socket.call(AuditList()).entries
            let failed = log.filter { $0.result != "done" }
            #expect(failed.map(\.operation) == ["user/suspend", "user/suspend", "invite/revoke", "user/add"])
            #expect(failed.map(\.result) == ["bad_request", "not_found", "not_found", "already_exists"])
            // Nobody is called so; and an attempt to revoke has the invite's number.
            #expect(failed.map(\.subject) == ["alice", "", added.invite.id.description, "alice"] && failed.allSatisfy { $0.reason == nil })
            #expect(try await socket.call(AuditList(failed: true)).entries == failed)
            #expect(try await socket.call(AuditList(before: log[1].number)).entries == Array(log.dropFirst(2)))
            #expect(try await socket.call(AuditList(since: log[0].at)).entries.allSatisfy { $0.at >= log[0].at })
            let verdict = try await socket.call(AuditVerify())
            #expect(verdict.findings == [] && verdict.entries == log.count && verdict.last == log.first?.number && verdict.hash.count == 64)
            let audit = log.filter { $0.result == "done" }
            #expect(
                audit.map(\.operation) == [
                    "user/remove", "user/resume", "user/suspend", "invite/revoke", "invite/create", "device/revoke", "user/add",
                ])
            #expect(audit.map(\.reason) == ["left", "harmless", "looked at", nil, nil, "lost", nil])
            #expect(audit.allSatisfy { $0.uid == geteuid() })
            #expect(audit.first?.subject == "alice")
            #expect(try await socket.call(AuditList(limit: 2)).entries.count == 2)
        }
    }

    @Test func usersComeInPages() async throws {
        try await withServer { socket, _, _ in
            for name in ["carol", "alice", "bob"] { _ = try await socket.call(UserAdd(user: name)) }
            let first = try await socket.call(UserList(limit: 2))
            #expect(first.users.map(\.name) == ["alice", "bob"])
            let second = try await socket.call(UserList(after: first.next, limit: 2))
            #expect(second.users.map(\.name) == ["carol"])
            #expect(second.next == nil)
        }
    }

    @Test func statusCountsWhatIsThere() async throws {
        try await withServer { socket, _, _ in
            _ = try await socket.call(UserAdd(user: "alice"))
            let status = try await socket.call(Status())
            #expect(status.users == 1)
            #expect(status.openInvites == 1)
            #expect(status.processID == Int(getpid()))
            #expect(status.residentBytes > 1 << 20)
            #expect(status.cpuMicroseconds > 0)
            #expect(status.storeBytes > 4096)
            #expect(status.commits >= 1)
            #expect(try await socket.request("GET", "/v1/status").status == 200)
        }
    }

    @Test func badRequestsNameWhatIsWrong() async throws {
        try await withServer { socket, _, _ in
            let cases: [(method: String, path: String, body: String?, status: Int, says: String)] = [
                ("POST", "/v1/user/show", "{", 400, "the body is not JSON"),
                ("POST", "/v1/user/show", "[]", 400, "the body must be a JSON object"),
                ("POST", "/v1/user/show", "{}", 400, "the field “user” is missing"),
                ("POST", "/v1/user/show", #"{"user":null}"#, 400, "the field “user” must not be null"),
                ("POST", "/v1/user/show", #"{"user":1}"#, 400, "the field “user” must be a text"),
                ("POST", "/v1/user/show", #"{"user":"a","usr":1}"#, 400, "there is no field “usr”"),
                ("POST", "/v1/user/show", #"{"user":"a b"}"#, 400, "cannot contain"),
                ("POST", "/v1/user/add", #"{"user":"a","inviteLifetimeSeconds":0}"#, 400, "inviteLifetimeSeconds"),
                ("POST", "/v1/user/remove", "{\"user\":\"a\",\"reason\":\"\(String(repeating: "x", count: 257))\"}", 400, "257 characters"),
                ("POST", "/v1/device/show", #"{"device":"0"}"#, 400, "“0” is not an identifier"),
                ("POST", "/v1/device/show", #"{"device":"7"}"#, 404, "there is no device 7"),
                ("POST", "/v1/user/list", #"{"limit":501}"#, 400, "1 to 500"),
                ("POST", "/v1/nothing", "{}", 404, "/v1/user/add"),
                ("POST", "/", "{}", 404, "/v1/status"),
                ("GET", "/v1/user/add", nil, 400, "does not answer GET"),
                ("DELETE", "/v1/user/list", nil, 400, "does not answer DELETE"),
                ("POST", "/v1/user/add", String(repeating: " ", count: 70_000), 400, "larger than 65536 bytes"),
            ]
            for (method, path, body, status, says) in cases {
                let reply = try await socket.request(method, path, body: body)
                #expect(reply.status == status, "\(method) \(path) \(body?.prefix(60) ?? "")")
                #expect(reply.body.contains(says), "\(reply.body)")
                #expect((try? JSONDecoder().decode(ControlError.self, from: Data(reply.body.utf8))) != nil)
            }
        }
    }

    @Test func theManPagesCurlExamplesWork() async throws {
        let page = try String(contentsOfFile: Programs.repository + "/man/chatctl.1", encoding: .utf8).replacing("\\e\n", with: " ")
        let examples = page.split(separator: "\n").filter { $0.hasPrefix("curl ") }
        #expect(examples.count >= 3)
        try await withServer { socket, _, _ in
            for example in examples {
                let command = example.replacing("curl ", with: "curl --silent --show-error --fail-with-body ")
                    .replacing("/run/relayd/control.sock", with: socket.path)
                let result = try await Subprocess.run("sh", ["-c", String(command)])
                #expect(result.0 == .exited(0), "\(example): \(result.1)\(result.2)")
            }
            let users = try await socket.call(UserList()).users
            #expect(users.map(\.name) == ["bob"])
        }
    }

    @Test("A caller of another user is told what is missing", .enabled(if: geteuid() == 0, "needs root to become another user"))
    func strangersGetExit77() async throws {
        try await withServer { socket, _, directory in
            chmod(directory.path, 0o755)
            for arguments in [["status"], ["user", "add", "mallory"]] {
                let result = try await asNobody(arguments, socket)
                #expect(result.0 == .exited(77))
                #expect(result.2.contains("chatctl: error: you (user 65534) may not operate this relay"))
                #expect(result.2.contains("chatctl: hint: use sudo, or become a member of the group relayd-admin"))
            }
            #expect(try await socket.call(UserList()).users.isEmpty)
        }
    }

    @Test("A member of the viewer group looks and changes nothing", .enabled(if: geteuid() == 0, "needs root to become another user"))
    func viewersOnlyLook() async throws {
        try await withServer(viewGroup: "nogroup") { socket, _, directory in
            chmod(directory.path, 0o755)
            #expect(try await asNobody(["status"], socket).0 == .exited(0))
            let change = try await asNobody(["user", "add", "mallory"], socket)
            #expect(change.0 == .exited(77))
            #expect(change.2.contains("may only look, and user/add changes something"))
            #expect(try await socket.call(UserList()).users.isEmpty)
            for user in ["alice", "bob", "carol"] { _ = try await socket.call(UserAdd(user: user)) }
            // Counts of people are classes for who may only look.
            let seen = try await asNobody(["status", "--json"], socket).1
            let status = try JSONDecoder().decode(Status.Reply.self, from: Data(seen.utf8))
            #expect(!status.isExact && status.users == 4 && status.openInvites == 4 && status.commandsApplied == 0, "\(status)")
            let exact = try await socket.call(Status())
            #expect(exact.isExact && exact.users == 3 && exact.commandsApplied > 0, "\(exact)")
            for arguments in [["config", "show"], ["health", "ready"], ["top", "--count", "1"]] {
                // This server has no configuration of its own.
                #expect(try await asNobody(arguments, socket).0 == .exited(arguments[0] == "config" ? 1 : 0), "\(arguments)")
            }
            for arguments in [["contact", "list", "--user", "alice"], ["block", "list"], ["block", "audit"], ["key", "list"], ["key", "audit"]] {
                #expect(try await asNobody(arguments, socket).0 == .exited(0), "\(arguments)")
            }
            for arguments in [
                ["contact", "add", "alice", "bob", "--reason", "x"], ["block", "add", "alice", "bob", "--reason", "x", "--yes"],
                ["block", "remove", "alice", "bob", "--reason", "x"], ["device", "kick", "7"], ["user", "export", "alice"],
            ] {
                let refused = try await asNobody(arguments, socket)
                #expect(refused.0 == .exited(77) && refused.1.isEmpty, "\(arguments): \(refused)")
            }
            // Each attempt is written down, without what was sent.
            let entries = try await socket.call(AuditList()).entries
            #expect(entries.count { $0.result == "done" } == 3)
            let refused = entries.filter { $0.result == "not_permitted" }
            #expect(refused.map(\.operation) == ["user/export", "device/kick", "block/remove", "block/add", "contact/add", "user/add"])
            #expect(refused.allSatisfy { $0.subject.isEmpty && $0.reason == nil && $0.uid != 0 })
        }
    }

    @Test("A member of the admin group may change", .enabled(if: geteuid() == 0, "needs root to become another user"))
    func administratorsChange() async throws {
        try await withServer(adminGroup: "nogroup") { socket, _, directory in
            chmod(directory.path, 0o755)
            let change = try await asNobody(["user", "add", "alice"], socket)
            #expect(change.0 == .exited(0))
            #expect(try await socket.call(AuditList()).entries.map(\.uid) == [65_534])
        }
    }

    /// The program is copied to where that user may read it: build directories are often private.
    private func asNobody(_ arguments: [String], _ socket: ControlSocket) async throws -> (RelayTestSupport.ExitStatus, String, String) {
        let directory = try TemporaryDirectory()
        chmod(directory.path, 0o755)
        // Copied by another process: this one starts programs all the time, which would inherit the file while it is open for writing.
        _ = try await Subprocess.run("cp", [Programs.chatctl, directory.file("chatctl")])
        chmod(directory.file("chatctl"), 0o755)
        return try await Subprocess.run(
            "setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", directory.file("chatctl")] + arguments + ["--socket", socket.path])
    }

    /// Whoever asks for a purge again and again sees it under way until it has ended, and never neither.
    @Test func aPurgeIsUnderWayOrHasEnded() async throws {
        try await withServer { socket, _, _ in
            let client = UnixHTTPClient(path: socket.path)
            @Sendable func call<Operation: ControlOperation>(_ operation: Operation) throws -> Operation.Reply {
                let body = Array(try JSONEncoder().encode(operation))
                let reply = try client.request("POST", "/v1/\(Operation.name.path)", json: body, patience: .seconds(60))
                guard reply.status == 200 else { throw try JSONDecoder().decode(ControlError.self, from: Data(reply.body)) }
                return try JSONDecoder().decode(Operation.Reply.self, from: Data(reply.body))
            }
            // A purge of nothing: it ends at any moment of a look. Of 200, 20 ended between the two halves of one that was not whole.
            let lost = try await NIOThreadPool.singleton.runIfActive {
                try (0..<200).filter { _ in
                    let run = try call(RetentionPurge()).run
                    while true {
                        let status = try call(RetentionStatus(run: run))
                        if status.finished != nil { return false }
                        if status.progress == nil { return true }
                    }
                }
            }
            #expect(lost.isEmpty)
            let unknown = try await socket.call(RetentionStatus(run: 201))
            #expect(unknown.progress == nil && unknown.finished == nil && unknown.failure == nil && unknown.lastPurge != nil)
            let log = try await socket.call(AuditList(limit: 201)).entries
            #expect(log.map(\.operation) == Array(repeating: "retention/purge", count: 200) && log.allSatisfy { $0.result == "done" })
        }
    }

    @Test func aFileInTheWayIsNotRemoved() async throws {
        let directory = try TemporaryDirectory()
        try "precious".write(toFile: directory.file("c.sock"), atomically: false, encoding: .utf8)
        try await expectRefusal(.notASocket(directory.file("c.sock")), socket: directory.file("c.sock"))
        #expect(try String(contentsOfFile: directory.file("c.sock"), encoding: .utf8) == "precious")
    }

    @Test func aSocketThatAnswersIsNotTaken() async throws {
        try await withServer { socket, _, _ in
            try await expectRefusal(.inUse(socket.path), socket: socket.path)
            #expect(try await socket.call(Hello()).protocolVersion == controlProtocolVersion)
        }
    }

    private func expectRefusal(_ error: SocketFileError, socket: String) async throws {
        let directory = try TemporaryDirectory()
        let clock = SystemWallClock()
        let store = try Store(path: directory.file("relay.db"), clock: clock, onFailure: { _ in })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let sending = MessageSending(writer: store.writer, readers: store.readers, loops: Array(group.makeIterator()))
        let users = try await Directory(
            writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: DirectorySettings(publicURL: "http://x"),
            revocations: sending)
        let server = ControlServer(
            settings: ControlServerSettings(
                socket: socket, access: AccessPolicy(adminGroup: "a", viewGroup: "b"), startedAt: clock.now(), listening: [], publicURL: "http://x",
                backups: socket + ".backups"),
            store: store, directory: users, sending: sending,
            presence: Presence(writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock()),
            retention: Retention(
                writer: store.writer, readers: store.readers, clock: clock, monotonic: SystemMonotonicClock(), pushMembers: Limits.chatMembers),
            alerts: try await alerts(store, clock, group), metrics: PublishedMetrics(Metrics().snapshot(at: clock.now())),
            ledger: PrivacyLedger(
                tally: PeopleTally(), writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: PeopleSettings()
            ),
            clock: clock, group: group,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await #expect(throws: error) { try await server.run() }
        await store.close()
        try await group.shutdownGracefully()
    }
}
