/// A random word that stands in a failed request's answer and in the log line about it, so that an operator finds one by the other. It says nothing of
/// whose request it was, nor of how many there are.
package struct CorrelationToken: Sendable, Equatable, CustomStringConvertible {
    /// The header that carries it to clients.
    package static let header = "X-Request-Id"

    package let description: String

    package init() {
        var generator = SystemRandomNumberGenerator()
        self.init(using: &generator)
    }

    package init(using generator: inout some RandomNumberGenerator) {
        let bits: UInt64 = generator.next()
        description = CrockfordBase32.encode((0..<5).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }, group: 8)
    }
}
