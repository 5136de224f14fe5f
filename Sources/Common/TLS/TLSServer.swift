import COpenSSL
import NIOCore
import RelayModel
import Synchronization

/// The server's end of TLS: takes connections with the certificate that is in force, which can be replaced while it does. Any thread.
///
/// What it speaks is the system's policy (openssl.cnf(5)), but no version below 1.2; ALPN `http/1.1`; tickets instead of a cache of
/// sessions; no renegotiation, no compression, no early data: what a replayed first flight could do again is never read.
package final class TLSServer: Sendable {
    private let state: Mutex<TLSServerContext>
    private let clock: any MonotonicClock
    let plainAnswer: ByteBuffer?

    /// - Parameter plainAnswer: what is sent, in the clear, to a client that speaks plain HTTP here.
    package init(
        _ identity: TLSIdentity, clock: any MonotonicClock = SystemMonotonicClock(), plainAnswer: ByteBuffer? = nil
    ) throws(TLSIdentityError) {
        self.clock = clock
        self.plainAnswer = plainAnswer
        state = Mutex(try TLSServerContext(identity, clock: clock))
    }

    /// The certificate in force.
    package var identity: TLSIdentity { state.withLock { $0.identity } }

    /// New connections get this certificate; those that are open keep theirs. Tickets of the former one are not accepted any more, so that
    /// nobody goes on under it. On an error nothing has changed.
    package func replace(_ identity: TLSIdentity) throws(TLSIdentityError) {
        let context = try TLSServerContext(identity, clock: clock)
        state.withLock { $0 = context }
    }

    /// One end of a new connection, on its event loop; nil without memory.
    package func connection(on loop: any EventLoop) -> TLSConnection? {
        let context = state.withLock { $0 }
        return TLSConnection(server: context, context.scratches.scratch(on: loop))
    }

    /// A handler for a new connection, to be the first of its pipeline. On the connection's loop.
    package func handler(on loop: any EventLoop, timeout: Duration = Limits.tlsHandshakeTimeout) -> TLSHandler? {
        connection(on: loop).map { TLSHandler($0, timeout: timeout, server: self) }
    }
}

/// OpenSSL's context for one certificate. Immutable but for its ticket keys and OpenSSL's own counts, both of which any thread may use.
final class TLSServerContext: @unchecked Sendable {
    let context: OpaquePointer
    let identity: TLSIdentity
    let scratches = TLSScratches()
    private let tickets: TicketKeys

    init(_ identity: TLSIdentity, clock: any MonotonicClock) throws(TLSIdentityError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw .library(TLSIdentityError.reason()) }
        var usable = false
        defer { if !usable { SSL_CTX_free(context) } }
        TLSPolicy.apply(to: context)
        guard SSL_CTX_use_certificate(context, identity.certificate) == 1, SSL_CTX_use_PrivateKey(context, identity.key) == 1,
            identity.chain.allSatisfy({ copenssl_add_chain(context, $0) == 1 })
        else { throw .refused(path: identity.certificatePath, reason: TLSIdentityError.reason()) }
        tickets = TicketKeys(clock: clock, entropy: OpenSSLEntropy())
        _ = copenssl_session_cache(context, Int(SSL_SESS_CACHE_OFF))
        SSL_CTX_set_timeout(context, Int(Limits.tlsTicketKeyAge.components.seconds))
        SSL_CTX_set_num_tickets(context, 1)
        SSL_CTX_set_max_early_data(context, 0)
        SSL_CTX_set_ex_data(context, 0, Unmanaged.passUnretained(tickets).toOpaque())
        guard SSL_CTX_set_tlsext_ticket_key_evp_cb(context, prepareTicket) == 1 else { throw .library(TLSIdentityError.reason()) }
        SSL_CTX_set_alpn_select_cb(context, selectProtocol, nil)
        self.context = context
        self.identity = identity
        usable = true
    }

    deinit { SSL_CTX_free(context) }
}

/// What both ends ask of OpenSSL.
enum TLSPolicy {
    static let version12 = TLS1_2_VERSION
    static let alpn: [UInt8] = [8] + Array("http/1.1".utf8)

    static func apply(to context: OpaquePointer) {
        // Creating the context has read the system's policy; it may only be stricter than this.
        if copenssl_min_version(context) < Int(version12) { _ = copenssl_set_min_version(context, version12) }
        SSL_CTX_set_options(context, copenssl_no_renegotiation())
        _ = copenssl_set_mode(context, copenssl_lean_mode())
    }
}

/// OpenSSL's generator, for the ticket keys.
struct OpenSSLEntropy: Entropy {
    func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard RAND_priv_bytes(&bytes, Int32(count)) == 1 else { preconditionFailure("the system has no random bytes") }
        return bytes
    }
}

/// The scratches of a context's event loops.
final class TLSScratches: Sendable {
    // A scratch is used on its loop only.
    private struct Entry: @unchecked Sendable { let scratch: TLSScratch }
    private let entries = Mutex<[ObjectIdentifier: Entry]>([:])

    func scratch(on loop: any EventLoop) -> TLSScratch {
        entries.withLock { entries in
            if let found = entries[ObjectIdentifier(loop)] { return found }
            let entry = Entry(scratch: TLSScratch())
            entries[ObjectIdentifier(loop)] = entry
            return entry
        }.scratch
    }
}

/// OpenSSL's callback for ALPN: `http/1.1`, or no connection at all when the client offers protocols without it (RFC 7301, 3.2).
private func selectProtocol(
    _ ssl: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ length: UnsafeMutablePointer<UInt8>?,
    _ offered: UnsafePointer<UInt8>?, _ offeredBytes: UInt32, _ data: UnsafeMutableRawPointer?
) -> Int32 {
    guard let offered, let chosen, let length else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    var at = 0
    // Lists of a byte's length and as many bytes; OpenSSL has checked that they add up.
    while at < Int(offeredBytes) {
        let count = Int(offered[at])
        guard at + 1 + count <= Int(offeredBytes) else { break }
        if UnsafeBufferPointer(start: offered + at, count: 1 + count).elementsEqual(TLSPolicy.alpn) {
            chosen.pointee = offered + at + 1
            length.pointee = UInt8(count)
            return SSL_TLSEXT_ERR_OK
        }
        at += 1 + count
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
