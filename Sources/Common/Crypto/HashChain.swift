/// Entries of which each is hashed together with the hash of the one before, so that none can be changed, left out or put in between without all
/// later hashes being others. It cannot show that the end was cut off, unless somebody wrote a hash down. Pure.
package struct HashChain: Sendable {
    /// What the first entry follows.
    package static let beginning = [UInt8](repeating: 0, count: 32)

    /// Stands in front of what is hashed, so that an entry of one chain is none of another.
    package var domain: String

    package init(_ domain: String) { self.domain = domain }

    /// 32 bytes.
    package func hash(_ entry: String, after previous: [UInt8]) -> [UInt8] {
        Hashing.blake2b256(Array(domain.utf8) + previous + Array(entry.utf8))
    }

    /// The operators' log.
    package static let audit = HashChain("relayd audit")
    /// The proof of purge.
    package static let purges = HashChain("relayd purge")
}
