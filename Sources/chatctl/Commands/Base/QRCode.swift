import CQREncode
import Glibc
import RelayControl

/// A QR code as text: two modules a character, upper and lower half.
enum QRCode {
    /// Modules of light around the code. The standard asks for four; two are enough on a screen and fit 80 columns.
    private static let border = 2

    /// - Parameters:
    ///   - color: paints black on white whatever the terminal's colours are. Without it the light modules are drawn, for a dark terminal.
    ///   - ascii: without the signs for half lines: twice as wide and as high.
    ///   - columns: of the terminal; nil: there is room. On one that is too narrow a sentence says so.
    static func render(_ text: String, color: Bool, ascii: Bool = false, columns: Int? = nil) throws(ControlError) -> String {
        guard let code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1) else {
            throw ControlError(.failed, "no QR code can be made of the link: \(String(cString: strerror(errno)))", hint: "use the link instead")
        }
        defer { QRcode_free(code) }
        let size = Int(code.pointee.width)
        let modules = UnsafeBufferPointer(start: code.pointee.data, count: size * size)
        func isLight(_ row: Int, _ column: Int) -> Bool {
            guard (0..<size).contains(row), (0..<size).contains(column) else { return true }
            return modules[row * size + column] & 1 == 0
        }
        let width = (size + 2 * border) * (ascii ? 2 : 1)
        if let columns, columns < width { return "(A QR code would need \(width) columns: widen the terminal, or use the link.)\n" }
        var lines = ""
        if ascii {
            for row in -border..<size + border {
                for column in -border..<size + border {
                    if color { lines += isLight(row, column) ? "\u{1B}[107m  " : "\u{1B}[40m  " } else { lines += isLight(row, column) ? "##" : "  " }
                }
                lines += color ? "\u{1B}[0m\n" : "\n"
            }
            return lines
        }
        for row in stride(from: -border, to: size + border, by: 2) {
            if color { lines += "\u{1B}[97;40m" }
            for column in -border..<size + border {
                switch (isLight(row, column), row + 1 < size + border && isLight(row + 1, column)) {
                case (true, true): lines += "█"
                case (true, false): lines += "▀"
                case (false, true): lines += "▄"
                case (false, false): lines += " "
                }
            }
            lines += color ? "\u{1B}[0m\n" : "\n"
        }
        return lines
    }
}
