import COpenSSL
import Glibc
import RelayModel

/// Where a server's certificate and its key lie: absolute paths, or names of credentials that the service manager handed over
/// (systemd.exec(5), `LoadCredential=`).
package struct TLSIdentitySource: Sendable, Equatable {
    package var certificate: String
    package var key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }

    /// - Parameter credentials: the value of `CREDENTIALS_DIRECTORY`.
    package func load(credentials: String?) throws(TLSIdentityError) -> TLSIdentity {
        try TLSIdentity(
            certificatePath: try path(of: certificate, credentials), keyPath: try path(of: key, credentials),
            // The service manager decides who can reach them, by other means than the mode.
            keyIsCredential: !key.hasPrefix("/"))
    }

    private func path(of name: String, _ credentials: String?) throws(TLSIdentityError) -> String {
        if name.hasPrefix("/") { return name }
        guard let credentials, !credentials.isEmpty else { throw .noCredentials(name: name) }
        return "\(credentials)/\(name)"
    }

    /// A path, or a name that systemd takes for a credential.
    package static func isUsable(_ name: String) -> Bool {
        guard (1...4000).contains(name.utf8.count), !name.utf8.contains(where: { $0 < 32 }) else { return false }
        return name.hasPrefix("/") || (!name.contains("/") && name != "." && name != ".." && name.utf8.count <= 255)
    }
}

/// A certificate with those that signed it, and its private key. Immutable; any thread.
package final class TLSIdentity: @unchecked Sendable {
    // OpenSSL counts references atomically, and nothing here changes them.
    let certificate: OpaquePointer
    let chain: [OpaquePointer]
    let key: OpaquePointer
    let certificatePath: String

    /// The moments between which it is good.
    package let notBefore: Timestamp
    package let notAfter: Timestamp
    /// Of both files as they were read: tells whether anything changed.
    package let fingerprint: [UInt8]

    /// Reads both files. Blocking.
    package init(certificatePath: String, keyPath: String, keyIsCredential: Bool = false) throws(TLSIdentityError) {
        let certificateText = try TLSIdentity.read(certificatePath, secret: false)
        var keyText = try TLSIdentity.read(keyPath, secret: !keyIsCredential)
        defer { keyText.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        var certificates = TLSIdentity.certificates(in: certificateText)
        guard let first = certificates.first else { throw .noCertificate(path: certificatePath) }
        var owned: OpaquePointer?
        var kept = false
        defer {
            if !kept {
                for certificate in certificates { X509_free(certificate) }
                EVP_PKEY_free(owned)
            }
        }
        let key = try TLSIdentity.key(in: keyText, path: keyPath)
        owned = key
        guard X509_check_private_key(first, key) == 1 else {
            ERR_clear_error()
            throw .mismatch(certificate: certificatePath, key: keyPath)
        }
        guard let begin = TLSIdentity.time(X509_get0_notBefore(first)), let end = TLSIdentity.time(X509_get0_notAfter(first)) else {
            throw .noCertificate(path: certificatePath)
        }
        kept = true
        certificates.removeFirst()
        certificate = first
        chain = certificates
        self.key = key
        self.certificatePath = certificatePath
        notBefore = begin
        notAfter = end
        fingerprint = TLSIdentity.digest(certificateText) + TLSIdentity.digest(keyText)
    }

    deinit {
        for certificate in chain { X509_free(certificate) }
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// Whole days until it ends; 0 on the last one, and less when it is over.
    package func daysLeft(at now: Timestamp) -> Int {
        let left = notAfter.milliseconds - now.milliseconds
        let day: Int64 = 24 * 3600 * 1000
        return Int(left >= 0 ? left / day : -((-left + day - 1) / day))
    }

    /// Is it for this host: a name or an address without brackets?
    package func isFor(_ host: String) -> Bool {
        X509_check_host(certificate, host, host.utf8.count, 0, nil) == 1 || X509_check_ip_asc(certificate, host, 0) == 1
    }

    /// What a client that trusts the system's store, and the certificates in `extra`, finds wrong with it; nil: nothing. Names are not looked at.
    /// Reads the trusted certificates. Blocking.
    package func problem(trusting extra: [String] = []) throws(TLSIdentityError) -> TLSFailure.CertificateProblem? {
        guard let store = X509_STORE_new(), let context = X509_STORE_CTX_new(), let sent = copenssl_certificates() else {
            throw .library(TLSIdentityError.reason())
        }
        defer {
            copenssl_free_certificates(sent)
            X509_STORE_CTX_free(context)
            X509_STORE_free(store)
            ERR_clear_error()
        }
        X509_STORE_set_default_paths(store)
        for path in extra { try TLSIdentity.trust(path, in: store) }
        for certificate in chain { copenssl_push_certificate(sent, certificate) }
        guard X509_STORE_CTX_init(context, store, certificate, sent) == 1, X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1 else {
            throw .library(TLSIdentityError.reason())
        }
        if X509_verify_cert(context) == 1 { return nil }
        return TLSFailure.CertificateProblem(verification: Int(X509_STORE_CTX_get_error(context)), host: nil)
    }

    /// Whether a server shows this very certificate; nil when it speaks no TLS or does not answer in time. Its chain is not looked at. Blocking.
    /// - Parameter socket: connected to the server, with time-outs set; stays open.
    package func isShown(by socket: Int32) -> Bool? {
        guard let context = SSL_CTX_new(TLS_client_method()) else { return nil }
        defer { SSL_CTX_free(context) }
        TLSPolicy.apply(to: context)
        SSL_CTX_set_alpn_protos(context, TLSPolicy.alpn, UInt32(TLSPolicy.alpn.count))
        guard let ssl = SSL_new(context) else { return nil }
        defer {
            SSL_free(ssl)
            ERR_clear_error()
        }
        guard SSL_set_fd(ssl, socket) == 1, SSL_connect(ssl) == 1, let shown = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(shown) }
        return X509_cmp(shown, certificate) == 0
    }

    // MARK: Reading

    static func read(_ path: String, secret: Bool) throws(TLSIdentityError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
        if secret, status.st_mode & 0o007 != 0 { throw .keyIsOpen(path: path) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        defer { chunk.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0 { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= Limits.tlsFileBytes else { throw .tooLarge(path: path) }
        }
    }

    static func certificates(in text: [UInt8]) -> [OpaquePointer] {
        guard let bio = BIO_new_mem_buf(text, Int32(text.count)) else { return [] }
        defer {
            BIO_free(bio)
            ERR_clear_error()
        }
        var found: [OpaquePointer] = []
        while let certificate = PEM_read_bio_X509(bio, nil, noPassphrase, nil) { found.append(certificate) }
        return found
    }

    private static func key(in text: [UInt8], path: String) throws(TLSIdentityError) -> OpaquePointer {
        guard let bio = BIO_new_mem_buf(text, Int32(text.count)) else { throw .library(TLSIdentityError.reason()) }
        defer { BIO_free(bio) }
        ERR_clear_error()
        if let key = PEM_read_bio_PrivateKey(bio, nil, noPassphrase, nil) { return key }
        ERR_clear_error()
        throw String(decoding: text, as: UTF8.self).contains("ENCRYPTED") ? .encryptedKey(path: path) : .noKey(path: path)
    }

    private static func time(_ time: UnsafePointer<ASN1_TIME>?) -> Timestamp? {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Timestamp(milliseconds: Int64(timegm(&parts)) * 1000)
    }

    private static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        var size: UInt32 = 0
        EVP_Digest(bytes, bytes.count, &digest, &size, EVP_sha256(), nil)
        return digest
    }
}

/// Nobody is asked: OpenSSL would read from the terminal.
private func noPassphrase(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ writing: Int32, _ data: UnsafeMutableRawPointer?) -> Int32 { -1 }
