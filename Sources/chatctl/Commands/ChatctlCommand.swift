import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl`: the root of all subcommands.
package struct ChatctlCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "chatctl",
        abstract: "Runs a relay of end-to-end-encrypted messages.",
        discussion: """
            Talks to relayd over its control socket, where membership of a group decides who may do what. Data goes to the standard \
            output, everything else to the standard error. Exit status: 0 done, 1 failed, 64 wrong usage, 69 relayd not reachable, \
            75 try again later, 77 not permitted, 78 wrong configuration.
            """,
        version: relayVersion,
        groupedSubcommands: [
            CommandGroup(name: "Operator", subcommands: operating),
            CommandGroup(name: "Client", subcommands: clients),
        ])

    /// The verbs that talk to relayd's control socket.
    private static let operating: [any ParsableCommand.Type] = [
        UserCommand.self,
        InviteCommand.self,
        DeviceCommand.self,
        KeyCommand.self,
        ContactCommand.self,
        BlockCommand.self,
        RetentionCommand.self,
        AlertCommand.self,
        MetricsCommand.self,
        PresenceCommand.self,
        PrivacyCommand.self,
        ConfigCommand.self,
        CheckCommand.self,
        HealthCommand.self,
        AuditCommand.self,
        BackupCommand.self,
        StatusCommand.self,
        TopCommand.self,
    ]

    /// The verbs that speak the client protocol: `client`, `probe`, `bench`.
    private static let clients: [any ParsableCommand.Type] = [ClientCommand.self, ProbeCommand.self, BenchCommand.self]

    package init() {}

    /// Parses and runs a command line without the program's name, and reports what fails. Gives the exit status.
    package static func execute(_ arguments: [String]) async -> Int32 {
        HelpWidth.ensure()
        do {
            var command = try await parsed(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return 0
        } catch let error as ControlError {
            Talk.report(error)
            return error.code.exitStatus
        } catch {
            return reportUsage(error, arguments)
        }
    }

    /// With the command alone that the line names, where that does: to prepare the tree of all of them takes a fifth of a small command's time. What
    /// is wrong, or asks for help, is the whole tree's.
    private static func parsed(_ arguments: [String]) async throws -> any ParsableCommand {
        if let command = await OneCommand.parsed(CommandPath(arguments)) { return command }
        return try await asyncParseAsRoot(arguments)
    }

    /// What ArgumentParser throws: help and version on request, wrong usage, or an exit status without words.
    private static func reportUsage(_ error: any Error, _ arguments: [String]) -> Int32 {
        let status = exitCode(for: error)
        if status == .success {
            StandardOutput.write(PlainText.shown(fullMessage(for: error)) + "\n")
            return 0
        }
        if error is ExitCode { return status.rawValue }
        let usage = fullMessage(for: error).split(separator: "\n").first { $0.hasPrefix("Usage: ") }?.dropFirst("Usage: ".count)
        var message = message(for: error)
        var hints = usage.map { ["usage: \($0); --help says more"] } ?? []
        if status == .validationFailure, let nearest = NearestCommand(arguments) {
            message = "there is no command \(nearest.unknown)"
            if let meant = nearest.meant { hints.insert("did you mean: \(meant)", at: 0) }
        }
        Talk.report(
            ControlError(
                status == .validationFailure ? .badRequest : .failed,
                message.isEmpty ? "\(error)" : message,
                hint: hints.isEmpty ? nil : hints.joined(separator: "\n")))
        return status.rawValue
    }
}
