import ChatctlCommands
import Glibc

/// The operator's tool. Everything is in `ChatctlCommands`.
@main
struct Chatctl {
    static func main() async {
        exit(await ChatctlCommand.execute(Array(CommandLine.arguments.dropFirst())))
    }
}
