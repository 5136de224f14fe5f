import COpenSSL
import NIOCore
import RelayModel
import Synchronization

/// Whose signatures a client trusts.
package enum TLSTrust: Sendable, Hashable {
    /// The system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    case system
    /// The certificates in a PEM file, and nobody else.
    case file(String)
}

/// The client's end of TLS. It checks who signed the server's certificate and whether it is for the host that was asked for, and takes
/// sessions up again with the tickets it got. Any thread.
package final class TLSClient: @unchecked Sendable {
    // OpenSSL's context may be used by any thread; nothing here changes after it was made.
    let context: OpaquePointer
    let scratches = TLSScratches()
    let sessions = ClientSessions()

    /// Reads the trusted certificates. Blocking.
    /// - Parameter atMost12: no TLS 1.3; for tests.
    package init(trust: TLSTrust = .system, atMost12: Bool = false) throws(TLSIdentityError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw .library(TLSIdentityError.reason()) }
        var usable = false
        defer { if !usable { SSL_CTX_free(context) } }
        TLSPolicy.apply(to: context)
        if atMost12 { _ = copenssl_set_max_version(context, TLSPolicy.version12) }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        switch trust {
        case .system: SSL_CTX_set_default_verify_paths(context)
        case .file(let path): try TLSIdentity.trust(path, in: SSL_CTX_get_cert_store(context))
        }
        guard SSL_CTX_set_alpn_protos(context, TLSPolicy.alpn, UInt32(TLSPolicy.alpn.count)) == 0 else {
            throw .library(TLSIdentityError.reason())
        }
        _ = copenssl_session_cache(context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(context, keepSession)
        self.context = context
        usable = true
    }

    deinit { SSL_CTX_free(context) }

    /// The client that trusts these, one for the whole process: reading the trusted certificates for each connection would cost more than its
    /// handshake, and the sessions that can be taken up again are with it. What the files hold later is not looked at.
    package static func shared(for trust: TLSTrust) throws(TLSIdentityError) -> TLSClient {
        if let made = made.withLock({ $0[trust] }) { return made }
        let new = try TLSClient(trust: trust)
        return made.withLock { made in
            // As many as a program names files of its own.
            if let first = made[trust] { return first }
            made[trust] = new
            return new
        }
    }

    private static let made = Mutex<[TLSTrust: TLSClient]>([:])

    /// One end of a new connection, on its event loop; nil without memory.
    /// - Parameter host: a name or an address without brackets: who is asked for, and whose certificate is accepted.
    package func connection(to host: String, port: Int, on loop: any EventLoop) -> TLSConnection? {
        TLSConnection(client: self, scratches.scratch(on: loop), host: host, port: port)
    }

    /// A handler for a new connection, to be the first of its pipeline. On the connection's loop.
    package func handler(to host: String, port: Int, on loop: any EventLoop, timeout: Duration = Limits.tlsHandshakeTimeout) -> TLSHandler? {
        connection(to: host, port: port, on: loop).map { TLSHandler($0, timeout: timeout, server: nil) }
    }
}

/// Sessions that can be taken up again, by `host:port`. Each is used once: a ticket that is seen twice tells an observer who came back
/// (RFC 8446, C.4). Any thread.
final class ClientSessions: Sendable {
    // A session is not changed after the handshake, and OpenSSL counts its references atomically.
    private final class Session: @unchecked Sendable {
        let session: OpaquePointer
        init(_ session: OpaquePointer) { self.session = session }
        deinit { SSL_SESSION_free(session) }
    }

    private let kept = Mutex<[(name: String, session: Session)]>([])

    /// Takes over one reference.
    func keep(_ session: OpaquePointer, for name: String) {
        let session = Session(session)
        kept.withLock { kept in
            if kept.count >= Limits.tlsClientSessions { kept.removeFirst() }
            kept.append((name, session))
        }
    }

    /// Hands the newest one to `body`, and forgets it.
    func take(_ name: String, _ body: (OpaquePointer) -> Void) {
        let found: Session? = kept.withLock { kept in
            kept.lastIndex { $0.name == name }.map { kept.remove(at: $0).session }
        }
        if let found { body(found.session) }
    }
}

/// What only a client's connection has.
final class ClientPeer {
    let host: String
    let name: String
    let sessions: ClientSessions

    init(host: String, port: Int, sessions: ClientSessions) {
        self.host = host
        name = "\(host):\(port)"
        self.sessions = sessions
    }
}

/// OpenSSL's callback for a session that can be taken up again; 1: it is ours now.
private func keepSession(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> Int32 {
    guard let ssl, let session, let data = SSL_get_ex_data(ssl, 0), SSL_SESSION_is_resumable(session) == 1 else { return 0 }
    let peer = Unmanaged<ClientPeer>.fromOpaque(data).takeUnretainedValue()
    peer.sessions.keep(session, for: peer.name)
    return 1
}

extension TLSIdentity {
    /// Trusts the certificates in a PEM file.
    static func trust(_ path: String, in store: OpaquePointer?) throws(TLSIdentityError) {
        let found = certificates(in: try read(path, secret: false))
        defer { for certificate in found { X509_free(certificate) } }
        guard !found.isEmpty, let store else { throw .noCertificate(path: path) }
        for certificate in found { X509_STORE_add_cert(store, certificate) }
    }
}
