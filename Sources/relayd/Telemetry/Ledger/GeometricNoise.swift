import RelayModel

/// Noise that hides whether one person was counted: a whole number X with P(X = x) proportional to exp(-|x|·s/t), the two-sided geometric
/// distribution with scale t/s. Added to a count that one person changes by at most Δ, with t/s = Δ/ε, it is ε-differentially private.
///
/// Exact: whole numbers only, from uniform bits and by rejection. Floating point would leave gaps between the values that noise can have, and
/// those tell the count (Mironov, "On significance of the least significant bits for differential privacy", CCS 2012).
/// Source: Canonne, Kamath, Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020, algorithms 1 and 2. Any thread.
struct GeometricNoise {
    /// Of this construction; kept with every value that it went into.
    static let algorithm = 1
    /// The scale is `numerator / denominator`, both at least 1.
    let numerator: UInt64
    let denominator: UInt64
    private let entropy: any Entropy

    /// - Parameters:
    ///   - clamp: Δ, 1 to 1,000,000: by how much one person changes the count.
    ///   - epsilon: thousandths, 1 to 1,000,000.
    init(clamp: Int, epsilonThousandths epsilon: Int, entropy: any Entropy) {
        precondition((1...1_000_000).contains(clamp) && (1...1_000_000).contains(epsilon), "noise has a clamp and an epsilon")
        numerator = UInt64(clamp) * 1000
        denominator = UInt64(epsilon)
        self.entropy = entropy
    }

    /// One value, drawn anew. Ends with probability 1; on average it takes some dozens of draws.
    func draw() -> Int64 {
        while true {
            let remainder = uniform(below: numerator)
            guard bernoulliExp(remainder, over: numerator) else { continue }
            var whole: UInt64 = 0
            while bernoulliExp(1, over: 1) { whole += 1 }
            let magnitude = (remainder + numerator * whole) / denominator
            let negative = uniform(below: 2) == 1
            // Otherwise zero would come twice as often.
            if negative, magnitude == 0 { continue }
            return negative ? -Int64(magnitude) : Int64(magnitude)
        }
    }

    /// True with probability exp(-a/b), for a ≤ b: the alternating series, term by term.
    private func bernoulliExp(_ a: UInt64, over b: UInt64) -> Bool {
        var k: UInt64 = 1
        while uniform(below: b * k) < a { k += 1 }
        return k % 2 == 1
    }

    /// 0 ..< bound, each with the same probability.
    private func uniform(below bound: UInt64) -> UInt64 {
        // What is above the highest whole multiple of the bound would favour the small numbers.
        let limit = UInt64.max - (UInt64.max % bound + 1) % bound
        while true {
            let value = entropy.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            if value <= limit { return value % bound }
        }
    }
}
