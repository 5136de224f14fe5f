import COpenSSL
import NIOCore
import RelayModel

/// One end of a TLS connection without a socket: ciphertext in, plaintext out, and the other way round. Confined to its event loop.
///
/// Between two calls it keeps what OpenSSL needs and at most one unfinished record: an idle connection has no buffers.
package final class TLSConnection {
    let ssl: OpaquePointer
    private let scratch: TLSScratch
    /// Keeps OpenSSL's context, its keys and its scratch alive.
    private let owner: AnyObject
    private let peer: ClientPeer?

    /// The handshake is done.
    package private(set) var isEstablished = false
    /// The other side has said that nothing more comes.
    package private(set) var isEnded = false
    /// It cannot go on; what ``takeOutput()`` gives then is the alert.
    package private(set) var failure: TLSFailure?
    private var endSent = false

    package var isClient: Bool { peer != nil }

    init?(server: TLSServerContext, _ scratch: TLSScratch) {
        guard let ssl = TLSConnection.make(server.context, scratch) else { return nil }
        SSL_set_accept_state(ssl)
        self.ssl = ssl
        self.scratch = scratch
        owner = server
        peer = nil
    }

    init?(client: TLSClient, _ scratch: TLSScratch, host: String, port: Int) {
        guard let ssl = TLSConnection.make(client.context, scratch) else { return nil }
        SSL_set_connect_state(ssl)
        let peer = ClientPeer(host: host, port: port, sessions: client.sessions)
        self.ssl = ssl
        self.scratch = scratch
        owner = client
        self.peer = peer
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(peer).toOpaque())
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1 {
            SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            SSL_set1_host(ssl, host)
            _ = copenssl_set_server_name(ssl, host)
        }
        client.sessions.take(peer.name) { SSL_set_session(ssl, $0) }
    }

    private static func make(_ context: OpaquePointer, _ scratch: TLSScratch) -> OpaquePointer? {
        guard let bio = scratch.bio, let ssl = SSL_new(context) else { return nil }
        // The connection lets go of it when it is freed.
        BIO_up_ref(bio)
        SSL_set_bio(ssl, bio, bio)
        return ssl
    }

    deinit {
        // A connection that just broke is no reason to mistrust its session (RFC 5246, 7.2.1): who comes back after that needs it most.
        if failure == nil { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
        SSL_free(ssl)
    }

    /// A session was taken up again. Only after the handshake.
    package var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    /// Such as `TLSv1.3`.
    package var version: String { String(cString: SSL_get_version(ssl)) }

    /// What ALPN chose.
    package var applicationProtocol: String? {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &name, &count)
        return name.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self) }
    }

    /// SHA-256 of the certificate that the other side showed.
    package var peerFingerprint: [UInt8]? {
        guard let certificate = SSL_get0_peer_certificate(ssl) else { return nil }
        var digest = [UInt8](repeating: 0, count: 32)
        var size: UInt32 = 0
        return X509_digest(certificate, EVP_sha256(), &digest, &size) == 1 ? digest : nil
    }

    /// Begins: a client has its first flight to send then.
    package func begin() {
        scratch.output.reserveCapacity(Limits.tlsFlightBytes)
        shakeHands()
    }

    /// Takes what the socket gave. Gives the plaintext that was in it; ``takeOutput()`` may have an answer.
    package func receive(_ bytes: ByteBuffer, allocator: ByteBufferAllocator) -> ByteBuffer? {
        guard failure == nil else { return nil }
        if !isEstablished { scratch.output.reserveCapacity(Limits.tlsFlightBytes) }
        return bytes.withUnsafeReadableBytes { bytes in
            scratch.input = bytes
            defer { scratch.input = UnsafeRawBufferPointer(start: nil, count: 0) }
            if !isEstablished { shakeHands() }
            guard isEstablished else { return nil }
            return readAll(allocator)
        }
    }

    /// Encrypts; ``takeOutput()`` has it then, together with what was written before. Only after the handshake.
    /// - Returns: false when it cannot.
    package func send(_ bytes: ByteBuffer) -> Bool {
        guard isEstablished, failure == nil, !endSent else { return false }
        let count = bytes.readableBytes
        guard count > 0 else { return true }
        // Header, tag and type of each record.
        scratch.output.reserveCapacity(minimumWritableBytes: count + (count / Limits.tlsRecordBytes + 1) * 64)
        ERR_clear_error()
        let done = bytes.withUnsafeReadableBytes { bytes in
            var at = 0
            while at < bytes.count {
                let written = SSL_write(ssl, bytes.baseAddress.map { $0 + at }, Int32(min(bytes.count - at, Int(Int32.max))))
                guard written > 0 else { return false }
                at += Int(written)
            }
            return true
        }
        if !done { failure = TLSFailure.last(verification: Int(X509_V_OK), host: nil) }
        return done
    }

    /// Says that nothing more will be sent (close_notify).
    package func end() {
        guard isEstablished, failure == nil, !endSent else { return }
        endSent = true
        ERR_clear_error()
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// What is to be sent to the other side.
    package func takeOutput() -> ByteBuffer? { scratch.takeOutput() }

    private func shakeHands() {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 {
            isEstablished = true
            // In TLS 1.2 OpenSSL does not tell of the session with the new ticket when one was taken up.
            if let peer, isResumed, SSL_version(ssl) < TLS1_3_VERSION, let session = SSL_get1_session(ssl) {
                if SSL_SESSION_is_resumable(session) == 1 { peer.sessions.keep(session, for: peer.name) } else { SSL_SESSION_free(session) }
            }
        } else {
            note(SSL_get_error(ssl, result))
        }
    }

    private func readAll(_ allocator: ByteBufferAllocator) -> ByteBuffer? {
        var plain: ByteBuffer?
        ERR_clear_error()
        while failure == nil, !isEnded {
            // What is decrypted already, or will be; a record has at most so much.
            let room = max(Int(SSL_pending(ssl)), min(scratch.input.count, Limits.tlsRecordBytes), 64)
            if plain == nil { plain = allocator.buffer(capacity: max(room, min(scratch.input.count, Limits.largeReceiveBufferBytes))) }
            let count = plain?.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
                let result = SSL_read(ssl, target.baseAddress, Int32(min(target.count, Int(Int32.max))))
                if result <= 0 { note(SSL_get_error(ssl, result)) }
                return Int(max(0, result))
            }
            if count == nil || count == 0 { break }
        }
        return plain.flatMap { $0.readableBytes > 0 ? $0 : nil }
    }

    private func note(_ error: Int32) {
        switch error {
        case SSL_ERROR_WANT_READ, SSL_ERROR_NONE: break
        case SSL_ERROR_ZERO_RETURN: isEnded = true
        default: failure = TLSFailure.last(verification: SSL_get_verify_result(ssl), host: peer?.host)
        }
    }
}
