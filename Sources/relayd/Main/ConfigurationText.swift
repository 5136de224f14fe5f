/// The configuration as text: the sample file and the listing of `--check-config`.
enum ConfigurationText {
    /// `packaging/relayd.toml`: every option with its meaning, commented out at its default.
    static var sample: String {
        let defaults = Configuration()
        var text = """
            # relayd(8)'s configuration. Every key stands here with its default; remove the # to change one.
            # Check it with `relayd --check-config`; `systemctl reload relayd` applies what can be changed without a restart.

            """
        var section = ""
        for option in ConfigurationOption.all {
            if option.section != section {
                section = option.section
                text += "\n[\(section)]\n"
            } else {
                text += "\n"
            }
            for line in option.documentation { text += "# \(line)\n" }
            if option.reloadable { text += "# Must be \(option.allowed). Can be reloaded.\n" }
            text += "#\(option.key) = \(option.read(defaults))\n"
        }
        return text
    }

    /// Every option with the value in force and where it comes from.
    static func listing(_ file: ConfigurationFile, path: String) -> String {
        let rows = ConfigurationOption.all.map { option in
            ("\(option.name) = \(option.read(file.configuration))", file.lines[option.name].map { "# \(path):\($0)" } ?? "# default")
        }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width - $0.0.count) + "  " + $0.1 + "\n" }.joined()
    }
}
