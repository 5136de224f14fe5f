import ArgumentParser

/// A tree that has one command.
struct OneCommand: AsyncParsableCommand {
    @TaskLocal private static var command: (any ParsableCommand.Type)?

    /// With a command above it, so that the parser does not look for the wish for a completion script.
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "chatctl", _superCommandName: "chatctl", subcommands: command.map { [$0] } ?? [])
    }

    /// Nil: the line names no single command, or is not right, or asks for help.
    static func parsed(_ path: CommandPath) async -> (any ParsableCommand)? {
        guard path.children.isEmpty, let name = path.words.last else { return nil }
        return await $command.withValue(path.command) {
            guard let parsed = try? await asyncParseAsRoot([name] + path.rest), type(of: parsed) == path.command else { return nil }
            return parsed
        }
    }
}
