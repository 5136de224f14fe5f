import RelayModel

/// A time of grace as the configuration has it: a whole number and `s`, `m`, `h` or `d`.
struct Grace: Sendable, Equatable, CustomStringConvertible {
    private static let units: [(letter: Character, seconds: Int64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]

    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    /// Nil for anything else, for 0, and beyond ``Limits/erasureGraceCeiling``.
    init?(_ text: String) {
        guard let unit = Grace.units.first(where: { text.last == $0.letter }), let number = UInt32(text.dropLast()), number > 0 else { return nil }
        duration = .seconds(Int64(number) * unit.seconds)
        guard duration <= Limits.erasureGraceCeiling else { return nil }
    }

    /// In the largest unit that fits.
    var description: String {
        let seconds = duration.components.seconds
        let unit = Grace.units.first { seconds % $0.seconds == 0 } ?? (letter: "s", seconds: 1)
        return "\(seconds / unit.seconds)\(unit.letter)"
    }
}
