import ChatctlCommands
import Glibc

/// The operator's tool. Everything is in `ChatctlCommands`.
@main
struct Chatctl {
    static func main() {
        // A reader of the output that has had enough, and a relay that hung up, are answers of write(2), not the end.
        signal(SIGPIPE, SIG_IGN)
        exit(CallingThread.run { await ChatctlCommand.execute(Array(CommandLine.arguments.dropFirst())) })
    }
}
