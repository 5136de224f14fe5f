import ArgumentParser
import Glibc
import RelayControl
import RelayModel
import RelaySQLite

/// `chatctl privacy audit`
struct PrivacyAuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Look on this host for what the relay should keep to itself.",
        discussion: """
            Searches the log and the metrics for names, numbers and addresses of the relay's users, the store for columns that it should not have, and \
            looks at core files, modes and owners. With canaries it also searches for those, in core files too. Needs to be root or relayd's user. \
            Exit status 0 when nothing was found, 1 when something was.
            """,
        examples: ["privacy audit", #"privacy audit --canary "the text of a message""#])

    @Option(help: ArgumentHelp("A text that must not be found. May be repeated.", valueName: "text"))
    var canary: [String] = []

    @Option(name: .customLong("canary-file"), help: ArgumentHelp("A file with one such text a line.", valueName: "file"), completion: .file())
    var canaryFile: String?

    @Option(help: ArgumentHelp("A log of relayd (default: where it writes it now). May be repeated.", valueName: "file"), completion: .file())
    var log: [String] = []

    @Option(
        help: ArgumentHelp("Another file to search, such as a trace, stored metrics or a core file. May be repeated.", valueName: "file"),
        completion: .file())
    var file: [String] = []

    @Option(help: ArgumentHelp("A copy of the store whose columns are looked at as well. May be repeated.", valueName: "file"), completion: .file())
    var store: [String] = []

    @Option(help: ArgumentHelp("A user's name that is a word of the log as well. May be repeated.", valueName: "name"))
    var ignore: [String] = []

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if let short = canary.first(where: { $0.utf8.count < Canaries.fewest }) {
            throw ValidationError("the canary “\(short)” is shorter than \(Canaries.fewest) bytes: it would be found in everything")
        }
    }

    func run() async throws {
        let texts = canary + (try canaryFile.map { path throws(ControlError) in try Self.canaries(in: path) } ?? [])
        let facts = try await global.control.call(PrivacyFacts())
        guard let process = FileFacts(facts.storePath) else {
            throw ControlError(
                .notPermitted, "\(facts.storePath) may not be looked at by this user, or is on another host",
                hint: "run it on the relay's host as root or as the user that relayd runs as")
        }
        guard geteuid() == 0 || geteuid() == process.owner else {
            throw ControlError(.notPermitted, "you (user \(geteuid())) are neither root nor relayd's user", hint: "run it as root")
        }
        let metrics = try await global.control.text("/v1/metrics")
        let report = try PrivacyAudit(
            facts: facts, socket: global.socketPath, metrics: metrics, canaries: Canaries(texts), logs: log, files: file, copies: store,
            ignored: ignore
        ).run()
        try global.output.show(report) { $0.privacy(report) }
        if report.findingCount > 0 { throw ExitCode(1) }
    }

    private static func canaries(in path: String) throws(ControlError) -> [String] {
        var bytes: [UInt8] = []
        do throws(PrivacySkip) {
            try ScannedFile.read(path) { if bytes.count <= Limits.auditCanaryBytes { bytes += $0 } }
        } catch {
            throw ControlError(.failed, error.reason)
        }
        guard bytes.count <= Limits.auditCanaryBytes else {
            throw ControlError(.badRequest, "\(path) has more than \(Limits.auditCanaryBytes) bytes", hint: "give fewer canaries")
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        if let short = lines.firstIndex(where: { $0.utf8.count < Canaries.fewest }) {
            throw ControlError(
                .badRequest, "\(path):\(short + 1): a canary has at least \(Canaries.fewest) bytes", hint: "shorter ones would be found in everything"
            )
        }
        return lines
    }
}

/// The whole audit. One thread.
struct PrivacyAudit {
    let facts: PrivacyFacts.Reply
    let socket: String
    let metrics: String
    let canaries: Canaries
    let logs: [String]
    let files: [String]
    let copies: [String]
    let ignored: [String]

    func run() throws(ControlError) -> PrivacyReport {
        var report = PrivacyReport()
        let owner = FileFacts(facts.storePath)?.owner ?? geteuid()
        let identities: IdentityScan
        do {
            identities = try IdentityScan(try Database(path: facts.storePath, access: .readOnly), addresses: facts.addresses, ignored: ignored)
        } catch {
            throw ControlError(.failed, "the store \(facts.storePath) cannot be read: \(error)", hint: "run it as root, while relayd runs")
        }
        let cores = CoreChecks(processID: facts.processID, storePath: facts.storePath)
        let fileChecks = FileChecks(facts: facts, socket: socket, owner: owner)
        let current = currentLog
        report.check("log") { found throws(PrivacySkip) in try searchLogs(current, identities, &found) }
        report.check("metrics") { found throws(PrivacySkip) in try searchMetrics(identities, &found) }
        if !files.isEmpty {
            report.check("files") { found throws(PrivacySkip) in
                for path in files { try search(path, CoreChecks.isCore(Self.name(of: path)) ? nil : identities, &found) }
                return files.joined(separator: ", ")
            }
        }
        report.check("schema") { found throws(PrivacySkip) in
            let check = SchemaCheck(tables: facts.tables, triggers: Set(facts.triggers))
            for copy in copies { _ = try check.run(copy, &found) }
            return try check.run(facts.storePath, &found)
        }
        report.check("core settings") { found throws(PrivacySkip) in try cores.settings(&found) }
        report.check("core files") { found throws(PrivacySkip) in
            let files = cores.files
            for path in files {
                found.add(path, "a core file holds what relayd had in memory, tokens included: delete it when the fault is found")
                if canaries.count > 0 { try search(path, nil, &found) }
            }
            return files.isEmpty ? "none" : "\(files.count)"
        }
        report.check("store files") { found throws(PrivacySkip) in try fileChecks.store(&found) }
        report.check("control socket") { found throws(PrivacySkip) in try fileChecks.controlSocket(&found) }
        report.check("configuration") { found throws(PrivacySkip) in try fileChecks.configuration(&found) }
        report.check("open files") { found throws(PrivacySkip) in
            var log: String?
            if case .file(let path) = current { log = path }
            return try fileChecks.openFiles(log, &found)
        }
        return report
    }

    // MARK: Logs

    private enum CurrentLog {
        case file(String)
        case journal
        case elsewhere
    }

    /// Where the running relay's standard error goes.
    private var currentLog: CurrentLog {
        guard let target = FileFacts.target(of: "/proc/\(facts.processID)/fd/2") else { return .elsewhere }
        if target.hasPrefix("/"), FileFacts(target)?.isRegular == true { return .file(target) }
        let unit = FileFacts.text("/proc/\(facts.processID)/cgroup") ?? ""
        return target.hasPrefix("socket:") && unit.contains("relayd.service") ? .journal : .elsewhere
    }

    private func searchLogs(
        _ current: CurrentLog, _ identities: IdentityScan, _ found: inout PrivacyReport.Findings
    ) throws(PrivacySkip) -> String {
        if !logs.isEmpty {
            for path in logs { try search(path, identities, &found) }
            return logs.joined(separator: ", ")
        }
        switch current {
        case .file(let path):
            try search(path, identities, &found)
            return path
        case .journal:
            try search("journal", identities, &found) { body throws(PrivacySkip) in try JournalReader.read(body) }
            return "the journal of relayd.service"
        case .elsewhere: throw PrivacySkip(reason: "relayd's log goes neither to a file nor to the journal: name it with --log")
        }
    }

    private func searchMetrics(_ identities: IdentityScan, _ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        var text = metrics
        try search("GET /v1/metrics", identities, &found) { body throws(PrivacySkip) in
            text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
            body(UnsafeRawBufferPointer(start: nil, count: 0))
        }
        return "\(metrics.split(separator: "\n").count) lines"
    }

    // MARK: Searching

    private static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    private func search(_ path: String, _ identities: IdentityScan?, _ found: inout PrivacyReport.Findings) throws(PrivacySkip) {
        try search(path, identities, &found) { body throws(PrivacySkip) in try ScannedFile.read(path, body) }
    }

    /// - Parameter identities: nil: only canaries are looked for, and offsets are told.
    private func search(
        _ place: String, _ identities: IdentityScan?, _ found: inout PrivacyReport.Findings,
        _ read: ((UnsafeRawBufferPointer) -> Void) throws(PrivacySkip) -> Void
    ) throws(PrivacySkip) {
        var scan = CanaryScan(canaries)
        var hits: [(place: String, what: String)] = []
        var failure: SQLiteError?
        var over = 0
        func note(_ place: String, _ what: String) {
            if hits.count < Limits.auditFindings { hits.append((place, what)) } else { over += 1 }
        }
        identities?.begin()
        try read { piece in
            scan.take(piece) { line, offset, canary in
                note(identities == nil ? "\(place), byte \(offset)" : "\(place):\(line)", "canary \(canary)")
            }
            guard let identities, failure == nil else { return }
            do throws(SQLiteError) { try identities.take(piece) { note("\(place):\($0)", $1) } } catch { failure = error }
        }
        if let failure { throw PrivacySkip(reason: "the store cannot be read: \(failure)") }
        for hit in hits { found.add(hit.place, hit.what) }
        for _ in 0..<over { found.add(place, "more of the same") }
    }
}
