import ArgumentParser
import Glibc
import RelayControl

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The control socket (default: $CHATCTL_SOCKET, else \(defaultControlSocket)).", valueName: "path"), completion: .file())
    var socket: String?

    @OptionGroup var rendering: OutputOptions

    /// The option, else the environment, else the default.
    var socketPath: String {
        if let socket { return socket }
        if let value = environment("CHATCTL_SOCKET") { return value }
        return defaultControlSocket
    }

    var json: Bool { rendering.json }
    var output: Output { rendering.output }

    /// A client of the control socket.
    var control: ControlClient { ControlClient(socket: socketPath) }
}

/// A variable of the environment; nil when it is unset or empty.
func environment(_ name: String) -> String? {
    guard let value = getenv(name), value[0] != 0 else { return nil }
    return String(cString: value)
}
