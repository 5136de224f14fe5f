/// One of the 1,024 parts into which users and chats are divided, so that several hosts can share them.
package struct Slot: Hashable, Comparable, Sendable {
    package static let count = 1024

    /// 0 to 1023.
    package let number: Int

    package init(of user: UserID) { self.init(hashing: user.rawValue) }
    package init(of chat: ChatID) { self.init(hashing: chat.rawValue) }

    /// Identifiers rise with time, so their low bits alone would fill neighbouring slots one after another: the finaliser of
    /// SplitMix64 (Steele, Lea, Flood 2014) spreads them. It must never change, or every user would move.
    private init(hashing value: UInt64) {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        number = Int(mixed % UInt64(Slot.count))
    }

    package static func < (left: Slot, right: Slot) -> Bool { left.number < right.number }
}
