import ArgumentParser
import FoundationEssentials
import RelayControl
import RelayModel

/// `chatctl user export`
struct UserExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write everything that the relay holds about a user into a JSON archive.",
        discussion: """
            Never bodies of messages: the relay cannot read them. The archive tells with whom the user has to do: keep it as carefully as the \
            store. The export is written to the audit log.
            """,
        examples: [#"user export alice --output alice.json --reason "letter of 3 May""#])

    /// What was written, when it went into a file.
    struct Report: Codable, Sendable {
        var user: String
        var file: String
        /// Entries by section.
        var entries: [String: Int]
    }

    @Argument(help: "The user's name.", completion: .users)
    var user: String

    @Option(help: ArgumentHelp("A new file, which only you may read. Without it: the standard output.", valueName: "file"), completion: .file())
    var output: String?

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        // Before relayd notes an export that would then have nowhere to go.
        let file = try ArchiveFile(output)
        let control = global.control
        let first = try await control.call(UserExport(user: user, section: .user, reason: reason))
        guard let subject = first.user else {
            throw ControlError(.versionMismatch, "relayd's reply has no user", hint: "install relayd and chatctl of the same version")
        }
        var archive = ArchiveText()
        try file.write(archive.begin(subject, at: first.at))
        var counts: [String: Int] = [:]
        for section in ExportSection.allCases where section != .user {
            try file.write(archive.open(section))
            var after: String?
            repeat {
                let page = try await control.call(UserExport(user: subject.name, section: section, id: subject.id, after: after))
                let entries = page.entries(of: section)
                for entry in entries { try file.write(archive.entry(entry)) }
                counts[section.rawValue, default: 0] += entries.count
                if output != nil { Talk.progress("\(section.rawValue): \(Figures.count(counts[section.rawValue] ?? 0))") }
                after = page.next
            } while after != nil
            try file.write(archive.close())
        }
        Talk.endProgress()
        try file.write(archive.end())
        try file.finish()
        guard let output else { return }
        let report = Report(user: subject.name, file: output, entries: counts)
        try global.output.show(report) { $0.exported(report) }
    }
}

/// The archive's text, piece by piece: one JSON object, with one entry of a section a line.
struct ArchiveText {
    /// Rises when a reader of the archive must know of a change.
    static let version = 1
    private var entries = 0

    mutating func begin(_ user: ExportedUser, at time: Timestamp) throws(ControlError) -> String {
        """
        {
        "format": "relayd-user-export",
        "version": \(Self.version),
        "exportedAt": "\(time)",
        "user": \(try Self.json(user))
        """
    }

    mutating func open(_ section: ExportSection) -> String {
        entries = 0
        return ",\n\"\(section.rawValue)\": ["
    }

    mutating func entry(_ entry: any Encodable) throws(ControlError) -> String {
        entries += 1
        return (entries == 1 ? "\n" : ",\n") + (try Self.json(entry))
    }

    func close() -> String { entries == 0 ? "]" : "\n]" }

    /// Whoever reads an archive without this reads a part of one.
    func end() -> String { ",\n\"complete\": true\n}\n" }

    private static func json(_ value: any Encodable) throws(ControlError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw ControlError(.failed, "an entry cannot be written as JSON: \(error)")
        }
    }
}

extension UserExport.Reply {
    func entries(of section: ExportSection) -> [any Encodable] {
        switch section {
        case .user: user.map { [$0] } ?? []
        case .devices: devices ?? []
        case .invites: invites ?? []
        case .contacts: contacts ?? []
        case .chats: chats ?? []
        case .receipts: receipts ?? []
        case .messages: messages ?? []
        case .audit: audit ?? []
        }
    }
}

extension Page {
    mutating func exported(_ report: UserExportCommand.Report) {
        line("What the relay holds about \(report.user) is in \(report.file):")
        blank()
        pairs(ExportSection.allCases.compactMap { section in report.entries[section.rawValue].map { (section.rawValue, Cell(Figures.count($0))) } })
    }
}
