import ArgumentParser
import Glibc
import RelayControl

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The control socket (default: $CHATCTL_SOCKET, else \(defaultControlSocket)).", valueName: "path"))
    var socket: String?

    @Flag(help: "Print the reply as JSON; streams print one JSON value a line.")
    var json = false

    @Flag(name: .customLong("no-color"), help: "No colours, also without NO_COLOR in the environment.")
    var noColor = false

    /// The option, else the environment, else the default.
    var socketPath: String {
        if let socket { return socket }
        if let value = environment("CHATCTL_SOCKET") { return value }
        return defaultControlSocket
    }

    /// Where results go.
    var output: Output {
        let terminal = isatty(STDOUT_FILENO) == 1
        let dumb = environment("TERM") == "dumb"
        return Output(json: json, color: terminal && !noColor && !dumb && environment("NO_COLOR") == nil, terminal: terminal)
    }

    /// A client of the control socket.
    var control: ControlClient { ControlClient(socket: socketPath) }
}

/// A variable of the environment; nil when it is unset or empty.
func environment(_ name: String) -> String? {
    guard let value = getenv(name), value[0] != 0 else { return nil }
    return String(cString: value)
}
