import CSodium
import RelayModel

/// libsodium must be initialised once, before any other call into it; Swift runs this initialiser once, on first use, on any thread.
private let sodiumIsReady: Bool = sodium_init() >= 0

/// Every entry into libsodium passes here first. Without a working random source nothing that follows would be safe, so the process ends.
func requireSodium() { precondition(sodiumIsReady, "libsodium cannot start: no random source") }

/// Unpredictable bytes from the kernel, through libsodium. Any thread.
package struct SystemEntropy: Entropy {
    package init() { requireSodium() }

    package func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            if let start = buffer.baseAddress { randombytes_buf(start, count) }
            filled = count
        }
    }
}
