import ArgumentParser

/// `chatctl user`
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "People with an account on this relay.",
        subcommands: [
            UserAddCommand.self, UserListCommand.self, UserShowCommand.self, UserSuspendCommand.self, UserResumeCommand.self,
            UserRemoveCommand.self, UserExportCommand.self, UserEraseCommand.self,
        ])
}
