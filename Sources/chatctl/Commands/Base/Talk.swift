import Glibc
import RelayControl

/// What is said to a person, on the standard error.
enum Talk {
    /// `chatctl: error: …` and, when there is something to do about it, `chatctl: hint: …`.
    static func report(_ error: ControlError) {
        var lines = prefixed("error", error.message)
        if let hint = error.hint { lines += prefixed("hint", hint) }
        write(lines)
    }

    static func say(_ text: String) { write(Printable.line(text) + "\n") }

    static func hint(_ text: String) { write(prefixed("hint", text)) }

    /// Progress of something long. Only on a terminal.
    static func progress(_ text: String) {
        if isatty(STDERR_FILENO) == 1 { write("\r\u{1B}[K" + Printable.line(text)) }
    }

    /// Removes the line of progress.
    static func endProgress() {
        if isatty(STDERR_FILENO) == 1 { write("\r\u{1B}[K") }
    }

    /// Asks a question that is answered with yes or no. Needs a terminal.
    static func confirms(_ question: String) -> Bool {
        write(Printable.line(question) + " [y/N] ")
        guard let answer = readLine()?.lowercased() else { return false }
        return answer == "y" || answer == "yes"
    }

    /// Asks for a line of the standard input, which need not be a terminal; nil at its end.
    static func ask(_ question: String) -> String? {
        write(Printable.line(question) + " ")
        let answer = readLine()
        if isatty(STDIN_FILENO) != 1 { write("\n") }
        return answer
    }

    private static func prefixed(_ kind: String, _ text: String) -> String {
        text.split(separator: "\n").map { "chatctl: \(kind): \(Printable.line(String($0)))\n" }.joined()
    }

    private static func write(_ text: String) { FileDescriptor.write(PlainText.shown(text), to: STDERR_FILENO) }
}

/// Where data goes.
enum StandardOutput {
    /// Writes all of it. When nobody reads any more (`| head`), the program ends; when it cannot be written, it says so and ends.
    static func write(_ text: String) {
        guard let code = FileDescriptor.failure(writing: text, to: STDOUT_FILENO) else { return }
        if code == EPIPE { exit(0) }
        Talk.report(
            ControlError(
                .failed, "the standard output cannot be written: \(String(cString: strerror(code)))",
                hint: "what was asked for may have been done: look before you repeat it"))
        exit(ControlErrorCode.failed.exitStatus)
    }
}

enum FileDescriptor {
    static func write(_ text: String, to descriptor: Int32) { _ = failure(writing: text, to: descriptor) }

    /// Writes all of it; gives the system's number when the descriptor takes no more.
    static func failure(writing text: String, to descriptor: Int32) -> Int32? {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if errno == EAGAIN {
                    // Somebody else who has the descriptor made it so.
                    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&waiting, 1, -1)
                } else if errno != EINTR {
                    return errno
                }
            }
            return nil
        }
    }
}

/// Text from elsewhere (names that users and devices gave themselves) as it may be shown on a terminal.
enum Printable {
    /// Control characters, which could drive the terminal, and characters that reorder the rest of a line become visible escapes.
    static func line(_ text: String) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isHarmful(scalar) {
                shown.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".unicodeScalars)
            } else {
                shown.append(scalar)
            }
        }
        return String(shown)
    }

    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0: true
        // Line and paragraph separators, bidirectional embeddings, overrides and isolates.
        case 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
