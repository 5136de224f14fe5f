// Targets with the faults that the fuzzer looks for, so that a test can see it find them. They read like the product; they are not.

private let valid: [(name: String, bytes: [UInt8])] = [("valid", Array("a valid input of some bytes".utf8))]

/// Ends the process for an input that it does not like.
struct CrashingTarget: FuzzTarget {
    static let name = "faulty-crashing"
    func corpus() -> [(name: String, bytes: [UInt8])] { valid }
    func run(_ input: [UInt8]) {
        guard input.count > 3 else { return }
        precondition(input[2] != 0xff, "this input was not expected")
    }
}

/// Keeps what it was given.
final class LeakingTarget: FuzzTarget {
    static let name = "faulty-leaking"
    private var kept: [[UInt8]] = []
    func corpus() -> [(name: String, bytes: [UInt8])] { valid }
    func run(_ input: [UInt8]) { kept.append(input + [0]) }
}

/// Gives a wrong answer.
struct LyingTarget: FuzzTarget {
    static let name = "faulty-lying"
    func corpus() -> [(name: String, bytes: [UInt8])] { valid }
    func run(_ input: [UInt8]) throws {
        if input.count > 40 { throw Finding("more than 40 bytes passed") }
    }
}

/// Never comes back.
struct EndlessTarget: FuzzTarget {
    static let name = "faulty-endless"
    func corpus() -> [(name: String, bytes: [UInt8])] { valid }
    func run(_ input: [UInt8]) {
        guard input.first == 0xff else { return }
        while input.first == 0xff {}
    }
}
