import Glibc

/// How wide the parser of the command line takes the terminal to be when it lays out help and errors.
package enum HelpWidth {
    /// Columns. It puts options into 26 of them and ends the program when nothing is left for their text.
    package static let fewest = 40

    /// Tells it of a terminal that is narrower that it is as wide as this; lines are broken by the terminal then. Called once, before anything is parsed.
    package static func ensure() {
        var size = winsize()
        let terminal = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : 0
        // The parser looks at the variable first.
        guard let width = getenv("COLUMNS").flatMap({ Int(String(cString: $0)) }) ?? (terminal > 0 ? terminal : nil), width < fewest else { return }
        setenv("COLUMNS", "\(fewest)", 1)
    }
}
