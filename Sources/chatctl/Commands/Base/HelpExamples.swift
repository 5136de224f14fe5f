import ArgumentParser

extension CommandConfiguration {
    /// A command that does something: its help ends with examples.
    /// - Parameter examples: command lines without the program's name.
    init(commandName: String, abstract: String, discussion: String = "", examples: [String]) {
        let lines = examples.map { "  chatctl \($0)" }.joined(separator: "\n")
        self.init(
            commandName: commandName, abstract: abstract,
            discussion: (discussion.isEmpty ? "" : discussion + "\n\n") + (examples.count == 1 ? "Example:\n" : "Examples:\n") + lines)
    }
}
