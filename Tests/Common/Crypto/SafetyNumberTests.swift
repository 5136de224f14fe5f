import RelayModel
import Testing

@testable import RelayCrypto

@Suite struct SafetyNumberTests {
    private let alice = (user: UserID(7), keys: [[UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32)])
    private let bob = (user: UserID(9), keys: [[UInt8](repeating: 3, count: 32)])

    @Test func bothSeeTheSame() {
        let number = SafetyNumber(alice, bob)
        #expect(number == SafetyNumber(bob, (alice.user, alice.keys.reversed())))
        #expect(number.digits.count == 60 && number.digits.allSatisfy { $0.isNumber })
        #expect(number.description.split(separator: " ").map(\.count) == Array(repeating: 5, count: 12))
        #expect(number.matches(number.description) && number.matches(number.digits) && !number.matches(String(number.digits.dropLast())))
    }

    /// From another implementation: Python's hashlib.
    @Test func aKnownNumber() {
        #expect(SafetyNumber(alice, bob).digits == "500717002955487370689617115139883740151765493361667248701867")
    }

    @Test func everythingCounts() {
        let number = SafetyNumber(alice, bob)
        #expect(number != SafetyNumber(alice, (bob.user, [[UInt8](repeating: 4, count: 32)])))
        #expect(number != SafetyNumber(alice, (bob.user, bob.keys + [[UInt8](repeating: 5, count: 32)])))
        #expect(number != SafetyNumber((alice.user, Array(alice.keys.dropLast())), bob))
        #expect(number != SafetyNumber((UserID(8), alice.keys), bob))
    }
}
