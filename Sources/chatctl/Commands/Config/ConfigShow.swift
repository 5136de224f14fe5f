import ArgumentParser
import RelayControl

/// `chatctl config show`
struct ConfigShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the configuration that is in force, and where each value comes from.",
        discussion: """
            Names are sections or keys; without any all keys are shown. A single key is shown with what it means. Secrets are not shown. While relayd is \
            stopped, relayd --check-config lists what the file says.
            """, examples: ["config show limits", "config show listen.public_url", "config show --set"])

    @Argument(help: "A section such as limits, or a key such as listen.address.")
    var name: [String] = []

    @Flag(help: "Only what the file sets.")
    var set = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var reply = try await global.control.call(ConfigShow())
        for wanted in name where !reply.options.contains(where: { $0.belongs(to: wanted) }) {
            throw ControlError(
                .notFound, "there is no section or key \(wanted)",
                hint: "the sections are \(Self.sections(reply.options).joined(separator: ", ")); chatctl config show lists their keys")
        }
        if !name.isEmpty { reply.options.removeAll { option in !name.contains { option.belongs(to: $0) } } }
        if set { reply.options.removeAll { $0.line == nil } }
        let single = name.count == 1 && reply.options.count == 1 && reply.options[0].name == name[0]
        try global.output.show(reply) { if single { $0.configurationKey(reply.options[0], reply.path) } else { $0.configuration(reply) } }
    }

    static func sections(_ options: [ConfigurationRecord]) -> [String] {
        var sections: [String] = []
        for option in options {
            let section = String(option.name.prefix { $0 != "." })
            if sections.last != section { sections.append(section) }
        }
        return sections
    }
}

extension ConfigurationRecord {
    fileprivate func belongs(to wanted: String) -> Bool { name == wanted || name.hasPrefix(wanted + ".") }

    /// In TOML's notation, with what it counts.
    fileprivate var shownValue: String { value.map { "\($0)\(unit.map { " \($0)" } ?? "")" } ?? "set, not shown" }
    fileprivate var shownDefault: String { "\(standard)\(unit.map { " \($0)" } ?? "")" }
}

extension Page {
    mutating func configuration(_ reply: ConfigShow.Reply) {
        line(reply.path ?? "there is no file: every value is the default", .faint)
        guard !reply.options.isEmpty else { return line("no key is set", .faint) }
        table(
            ["KEY", "VALUE", "FROM", "A CHANGE NEEDS"],
            reply.options.map { option in
                [
                    Cell(option.name, .strong), Cell(option.shownValue), option.line.map { Cell("line \($0)") } ?? Cell("default", .faint),
                    Cell(option.reloadable ? "a reload" : "a restart"),
                ]
            })
    }

    mutating func configurationKey(_ option: ConfigurationRecord, _ path: String?) {
        pairs([
            ("key", Cell(option.name, .strong)), ("value", Cell(option.shownValue)),
            ("from", option.line.map { Cell("\(path ?? ""):\($0)") } ?? Cell("default", .faint)),
            ("default", Cell(option.shownDefault)), ("must be", Cell(option.allowed)),
            ("a change needs", Cell(option.reloadable ? "systemctl reload relayd" : "systemctl restart relayd")), ("meaning", Cell(option.text)),
        ])
    }
}
