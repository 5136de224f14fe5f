import ArgumentParser
import Glibc

/// How results are shown; part of what every command takes.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print the reply as JSON; streams print one JSON value a line.")
    var json = false

    @Flag(name: .customLong("no-color"), help: "No colours, also without NO_COLOR in the environment.")
    var noColor = false

    /// Where results go.
    var output: Output {
        let terminal = isatty(STDOUT_FILENO) == 1
        let dumb = environment("TERM") == "dumb"
        return Output(
            json: json, color: terminal && !noColor && !dumb && environment("NO_COLOR") == nil, terminal: terminal,
            ascii: PlainText.isNeeded, columns: terminal ? Screen.columnsOfOutput : nil)
    }
}
