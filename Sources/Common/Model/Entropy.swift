/// Where a module gets random bytes from. The real one is libsodium's, in `RelayCrypto`; tests put a seeded one in.
package protocol Entropy: Sendable {
    /// Any thread. `count` unpredictable bytes.
    func bytes(_ count: Int) -> [UInt8]
}

/// SplitMix64 from a printed seed, for tests that must be repeatable. Never for keys.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
