import COpenSSL
import RelayModel
import Synchronization

/// The keys under which a server seals what it must know to take a session up again (RFC 5077, RFC 8446 4.6.1). They are in memory only: a
/// restart means full handshakes. After ``Limits/tlsTicketKeyAge`` a new one takes over, and the one before still opens tickets for as
/// long; what is older cannot be opened by anybody. Any thread; one lock a handshake.
final class TicketKeys: Sendable {
    struct Key: Equatable {
        static let nameBytes = 16
        var name: [UInt8]
        var cipher: [UInt8]
        var mac: [UInt8]
    }

    private struct State {
        var current: Key
        var since: Int64
        var previous: Key?
    }

    private let clock: any MonotonicClock
    private let entropy: any Entropy
    private let state: Mutex<State>

    init(clock: any MonotonicClock, entropy: any Entropy) {
        self.clock = clock
        self.entropy = entropy
        state = Mutex(State(current: TicketKeys.make(entropy), since: clock.nanoseconds(), previous: nil))
    }

    /// For a new ticket.
    func sealing() -> Key { state.withLock { turned(&$0).current } }

    /// For a ticket that names its key. `renew`: it is time for a new ticket.
    func opening(_ name: [UInt8]) -> (key: Key, renew: Bool)? {
        state.withLock { state in
            let state = turned(&state)
            if state.current.name == name { return (state.current, false) }
            if let previous = state.previous, previous.name == name { return (previous, true) }
            return nil
        }
    }

    private func turned(_ state: inout State) -> State {
        let age = clock.nanoseconds() - state.since
        if age >= Limits.tlsTicketKeyAge.nanoseconds {
            // One that nobody turned in time is not kept beyond its own.
            state.previous = age < 2 * Limits.tlsTicketKeyAge.nanoseconds ? state.current : nil
            state.current = TicketKeys.make(entropy)
            state.since = clock.nanoseconds()
        }
        return state
    }

    private static func make(_ entropy: any Entropy) -> Key {
        Key(name: entropy.bytes(Key.nameBytes), cipher: entropy.bytes(32), mac: entropy.bytes(32))
    }
}

/// OpenSSL's callback for tickets (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)): AES-256-CBC and HMAC-SHA-256.
func prepareTicket(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ iv: UnsafeMutablePointer<UInt8>?, _ cipher: OpaquePointer?, _ mac: OpaquePointer?,
    _ sealing: Int32
) -> Int32 {
    guard let ssl, let name, let iv, let data = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0) else { return -1 }
    let keys = Unmanaged<TicketKeys>.fromOpaque(data).takeUnretainedValue()
    let key: TicketKeys.Key
    var answer: Int32 = 1
    if sealing == 1 {
        key = keys.sealing()
        guard RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 else { return -1 }
        for (index, byte) in key.name.enumerated() { name[index] = byte }
        guard EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, iv) == 1 else { return -1 }
    } else {
        guard let found = keys.opening(Array(UnsafeBufferPointer(start: name, count: TicketKeys.Key.nameBytes))) else { return 0 }
        key = found.key
        // With a new ticket every time, not only when the key has turned: clients use each once.
        answer = 2
        guard EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, iv) == 1 else { return -1 }
    }
    var macKey = key.mac
    return copenssl_hmac_sha256(mac, &macKey, macKey.count) == 1 ? answer : -1
}
