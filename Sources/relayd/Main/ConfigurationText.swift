import RelayControl

/// The configuration as text: the sample file and the listing of `--check-config`.
enum ConfigurationText {
    /// `packaging/relayd.toml`: every option with its meaning, commented out at its default.
    static var sample: String {
        var text = """
            # relayd(8)'s configuration. Every key stands here with its default; remove the # to change one. relayd.toml(5) is the same as a page.
            # Check it with `relayd --check-config`; `systemctl reload relayd` applies what can be changed without a restart.

            """
        var section = ""
        for option in ConfigurationOption.all {
            text += "\n"
            if option.section != section {
                section = option.section
                text += "[\(section)]\n"
                if let lines = ConfigurationOption.sectionTexts[section] { text += lines.map { "# \($0)\n" }.joined() + "\n" }
            }
            for line in option.documentation + [option.terms] { text += "# \(line)\n" }
            text += "#\(option.key) = \(option.standard)\n"
        }
        return text
    }

    /// Every option with the value in force and where it comes from.
    static func listing(_ file: ConfigurationFile, path: String) -> String {
        let rows = ConfigurationOption.all.map { option in
            (
                "\(option.name) = \(option.shown(option.read(file.configuration)))",
                file.lines[option.name].map { "# \(path):\($0)" } ?? "# default"
            )
        }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width - $0.0.count) + "  " + $0.1 + "\n" }.joined()
    }

    /// The same for programs.
    static func records(_ configuration: Configuration, lines: [String: Int], path: String?) -> ConfigShow.Reply {
        ConfigShow.Reply(
            path: path,
            options: ConfigurationOption.all.map { option in
                ConfigurationRecord(
                    name: option.name, unit: option.unit, value: option.read(configuration), standard: option.standard, line: lines[option.name],
                    reloadable: option.reloadable, secret: option.secret, allowed: option.allowed,
                    text: option.documentation.joined(separator: " "))
            })
    }
}

extension ConfigurationOption {
    /// What the value must be, what it counts, and how a change gets into force.
    var terms: String {
        "Must be \(allowed)\(unit.map { " (\($0))" } ?? "").\(reloadable ? " Can be reloaded." : "")\(secret ? " A secret: shown to nobody." : "")"
    }
}
