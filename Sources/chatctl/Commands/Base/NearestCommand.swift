import ArgumentParser
import RelayModel

/// What a person may have meant who typed a command that there is not.
struct NearestCommand: Equatable {
    /// The words up to the one that is no command.
    var unknown: String
    /// The line as it may have been meant; nil: nothing is near.
    var meant: String?

    /// What other programs call it.
    private static let otherNames = [
        "ls": "list", "rm": "remove", "del": "remove", "delete": "remove", "new": "add", "create": "add", "get": "show", "info": "show",
        "describe": "show", "enroll": "enrol", "msg": "send",
    ]

    /// Nil: every word that should be a command is one.
    init?(_ arguments: [String]) {
        var command: any ParsableCommand.Type = ChatctlCommand.self
        var path: [String] = []
        for (index, word) in arguments.enumerated() {
            let children = Self.children(of: command)
            if children.isEmpty || word == "help" || word.hasPrefix("-") { return nil }
            if let child = children.first(where: { Self.name(of: $0) == word }) {
                command = child
                path.append(word)
                continue
            }
            unknown = ShellWord.line(["chatctl"] + path + [word])
            let rest = Array(arguments[(index + 1)...])
            if path.isEmpty, let noun = rest.first, let verbs = children.first(where: { Self.name(of: $0) == noun }).map(Self.children(of:)),
                let verb = Self.nearest(word, verbs.map(Self.name(of:)))
            {
                // The verb came first.
                meant = ShellWord.line(["chatctl", noun, verb] + rest.dropFirst())
            } else {
                meant = Self.nearest(word, children.map(Self.name(of:))).map { ShellWord.line(["chatctl"] + path + [$0] + rest) }
            }
            return
        }
        return nil
    }

    private static func children(of command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
        // Those of groups are among them.
        command.configuration.subcommands
    }

    private static func name(of command: any ParsableCommand.Type) -> String { command.configuration.commandName ?? "" }

    private static func nearest(_ word: String, _ names: [String]) -> String? {
        if names.contains(word) { return word }
        if let name = otherNames[word], names.contains(name) { return name }
        // Whoever types a whole book gets no advice.
        guard word.count <= 32, let best = names.map({ (name: $0, distance: EditDistance.between(word, $0)) }).min(by: { $0.distance < $1.distance })
        else { return nil }
        return best.distance <= max(1, word.count / 3) ? best.name : nil
    }
}
