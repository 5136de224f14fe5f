import Glibc
import RelayControl
import Synchronization

/// Somebody wants the program to end. Set by signal handlers, which may do nothing else.
private let isEnded = Atomic<Bool>(false)

/// The terminal while something draws on it: a screen of its own, without echo and cursor. One thread.
final class Screen {
    enum Event { case quit, resized, time }

    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    private var before = termios()
    private var isOpen = true

    /// Takes the terminal. ``leave()`` must be called in any case.
    init() throws(ControlError) {
        guard tcgetattr(STDIN_FILENO, &before) == 0 else {
            throw ControlError(.failed, "the terminal cannot be used: \(String(cString: strerror(errno)))")
        }
        isEnded.store(false, ordering: .relaxed)
        for number in Self.signals { Self.handle(number) { _ in isEnded.store(true, ordering: .relaxed) } }
        // It only has to end the waiting.
        Self.handle(SIGWINCH) { _ in }
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        withUnsafeMutableBytes(of: &raw.c_cc) { keys in
            keys[Int(VMIN)] = 0
            keys[Int(VTIME)] = 0
        }
        tcsetattr(STDIN_FILENO, TCSANOW, &raw)
        write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[2J")
    }

    /// Without SA_RESTART, so that a signal ends the waiting.
    private static func handle(_ number: Int32, _ body: @escaping @convention(c) (Int32) -> Void) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = body
        sigaction(number, &action, nil)
    }

    /// Gives the terminal back as it was.
    func leave() {
        guard isOpen else { return }
        isOpen = false
        write("\u{1B}[?25h\u{1B}[?1049l")
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before)
        for number in Self.signals + [SIGWINCH] { signal(number, SIG_DFL) }
    }

    deinit { leave() }

    private var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Of the terminal that the standard output is; nil when it is none, or does not say.
    static var columnsOfOutput: Int? {
        var size = winsize()
        return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
    }

    var columns: Int { size.columns }

    /// As many lines as fit; the last of them stays where it is on a small terminal.
    func draw(_ lines: [String]) {
        let shown = lines.prefix(size.rows)
        write("\u{1B}[H" + shown.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Waits for a key, a signal or the time.
    func wait(until due: ContinuousClock.Instant) -> Event {
        let left = (due - .now).components
        let milliseconds = max(0, left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000)
        var waiting = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        let count = poll(&waiting, 1, Int32(clamping: milliseconds))
        if isEnded.load(ordering: .relaxed) { return .quit }
        if count < 0 { return .resized }
        guard count > 0 else { return .time }
        var keys = [UInt8](repeating: 0, count: 64)
        let read = Glibc.read(STDIN_FILENO, &keys, keys.count)
        // Nothing to read where there should be something: the terminal is gone. 3 and 4: Ctrl-C and Ctrl-D.
        if read <= 0 || keys[..<read].contains(where: { [UInt8(ascii: "q"), UInt8(ascii: "Q"), 3, 4].contains($0) }) { return .quit }
        return .time
    }

    private func write(_ text: String) { FileDescriptor.write(text, to: STDOUT_FILENO) }
}
