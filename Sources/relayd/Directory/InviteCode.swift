import RelayCrypto
import RelayModel

/// The secret of an invite: 16 random bytes, shown as 26 characters of Crockford's base 32 in groups of five.
/// Only its BLAKE2b-256 is stored; 128 random bits need no slow hash.
struct InviteCode {
    let bytes: [UInt8]

    init(entropy: any Entropy) { bytes = entropy.bytes(16) }

    /// Reads what people type.
    init?(_ typed: String) {
        guard let bytes = CrockfordBase32.decode(typed, count: 16) else { return nil }
        self.bytes = bytes
    }

    var text: String { CrockfordBase32.encode(bytes, group: 5) }

    var hash: [UInt8] { Hashing.blake2b256(bytes) }
}
