import ArgumentParser

/// The command to which the first words of a line lead, as far as they name commands.
struct CommandPath {
    private(set) var command: any ParsableCommand.Type
    /// The words that led there.
    private(set) var words: [String] = []
    /// What follows them.
    private(set) var rest: ArraySlice<String>

    init(_ arguments: [String], from root: any ParsableCommand.Type = ChatctlCommand.self) {
        command = root
        rest = arguments[...]
        while let word = rest.first, let child = children.first(where: { Self.name(of: $0) == word }) {
            command = child
            words.append(word)
            rest.removeFirst()
        }
    }

    /// The commands below it, those of groups among them.
    var children: [any ParsableCommand.Type] { Self.children(of: command) }

    static func children(of command: any ParsableCommand.Type) -> [any ParsableCommand.Type] { command.configuration.subcommands }
    static func name(of command: any ParsableCommand.Type) -> String { command.configuration.commandName ?? "" }
}
