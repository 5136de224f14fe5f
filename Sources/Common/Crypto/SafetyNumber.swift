import RelayModel

/// Sixty digits that two people compare, by reading them to each other or side by side: they are the same on both ends when, and only when, both
/// see the same devices of both. Any thread.
///
/// After Signal's numeric fingerprint (<https://signal.org/blog/safety-number-updates/>): for each of the two users the digits of a hash over
/// their devices' identity keys, made slow by repeating it, so that nobody finds another set of keys with nearly the same digits.
///
///     key set  = identity keys of the active devices, ascending, one behind the other
///     h(0)     = BLAKE2b-512("relayd/safety-number/1" || user (8 bytes, big-endian) || key set)
///     h(n)     = BLAKE2b-512(h(n-1) || key set), n up to 5,200
///     digits   = the first 30 bytes of h(5,200) in six groups of five, each big-endian modulo 100,000
///     number   = the digits of the user with the lower number, then the other one's
package struct SafetyNumber: Sendable, Equatable, CustomStringConvertible {
    /// Sixty digits.
    package let digits: String

    static let context = Array("relayd/safety-number/1".utf8)
    static let rounds = 5200

    /// - Parameter keys: the identity keys of a user's active devices, in any order.
    package init(_ one: (user: UserID, keys: [[UInt8]]), _ other: (user: UserID, keys: [[UInt8]])) {
        let (low, high) = one.user < other.user ? (one, other) : (other, one)
        digits = SafetyNumber.half(low.user, low.keys) + SafetyNumber.half(high.user, high.keys)
    }

    /// In twelve groups of five.
    package var description: String {
        stride(from: 0, to: digits.count, by: 5).map { String(digits.dropFirst($0).prefix(5)) }.joined(separator: " ")
    }

    /// Whether somebody typed this number; blanks between the digits do not count.
    package func matches(_ typed: String) -> Bool { typed.filter { !$0.isWhitespace } == digits }

    private static func half(_ user: UserID, _ keys: [[UInt8]]) -> String {
        let set = keys.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 }
        var hash = Hashing.blake2b(context + bigEndian(user.rawValue) + set, length: 64, key: [])
        for _ in 0..<rounds { hash = Hashing.blake2b(hash + set, length: 64, key: []) }
        return (0..<6).map { group in
            let value = hash[group * 5..<group * 5 + 5].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let text = String(value % 100_000)
            return String(repeating: "0", count: 5 - text.count) + text
        }.joined()
    }
}
