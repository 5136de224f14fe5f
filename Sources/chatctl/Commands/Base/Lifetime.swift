import ArgumentParser

/// A span of time as an operator types it: a number and `s`, `m`, `h` or `d`.
struct Lifetime: ExpressibleByArgument, Sendable, Equatable {
    let seconds: Int

    init(seconds: Int) { self.seconds = seconds }

    init?(argument: String) {
        let factors: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let unit = argument.last, let factor = factors[unit], let number = UInt32(argument.dropLast()), number > 0 else { return nil }
        let (seconds, overflow) = Int(number).multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        self.seconds = seconds
    }

    static let allValueStrings: [String] = []
    var defaultValueDescription: String { "\(seconds)s" }
}
