import ArgumentParser
import RelayControl

/// `chatctl config diff`
struct ConfigDiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Show what relayd's file says otherwise than what is in force, and what each change needs.",
        discussion: """
            relayd reads the file to answer. A file that is wrong is an error (exit status 78) that says where.
            """, examples: ["config diff", "config diff --json"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reply = try await global.control.call(ConfigDiff())
        try global.output.show(reply) { $0.configurationDifferences(reply) }
    }
}

extension Page {
    mutating func configurationDifferences(_ reply: ConfigDiff.Reply) {
        guard !reply.differences.isEmpty else { return line("\(reply.path) says what is in force.", .good) }
        func shown(_ value: ConfigurationValue?) -> Cell { value.map { Cell($0.description) } ?? Cell("not shown", .faint) }
        table(
            ["KEY", "IN FORCE", "IN THE FILE", "LINE", "NEEDS"],
            reply.differences.map { difference in
                [
                    Cell(difference.name, .strong), shown(difference.running), shown(difference.file),
                    difference.line.map { Cell(String($0)) } ?? Cell("default", .faint),
                    difference.needs == .restart ? Cell("a restart", .bad) : Cell("a reload"),
                ]
            })
        let restart = reply.differences.contains { $0.needs == .restart }
        line("\(restart ? "systemctl restart relayd" : "systemctl reload relayd") puts \(restart ? "all of it" : "it") into force.", .faint)
    }
}
