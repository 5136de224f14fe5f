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
        let path = CommandPath(arguments)
        guard let word = path.rest.first, !path.children.isEmpty, word != "help", !word.hasPrefix("-") else { return nil }
        let rest = Array(path.rest.dropFirst())
        unknown = ShellWord.line(["chatctl"] + path.words + [word])
        if path.words.isEmpty, let noun = rest.first, let command = path.children.first(where: { CommandPath.name(of: $0) == noun }),
            let verb = Self.nearest(word, CommandPath.children(of: command).map(CommandPath.name(of:)))
        {
            // The verb came first.
            meant = ShellWord.line(["chatctl", noun, verb] + rest.dropFirst())
        } else {
            meant = Self.nearest(word, path.children.map(CommandPath.name(of:))).map { ShellWord.line(["chatctl"] + path.words + [$0] + rest) }
        }
    }

    private static func nearest(_ word: String, _ names: [String]) -> String? {
        if names.contains(word) { return word }
        if let name = otherNames[word], names.contains(name) { return name }
        // Whoever types a whole book gets no advice.
        guard word.count <= 32, let best = names.map({ (name: $0, distance: EditDistance.between(word, $0)) }).min(by: { $0.distance < $1.distance })
        else { return nil }
        return best.distance <= max(1, word.count / 3) ? best.name : nil
    }
}
