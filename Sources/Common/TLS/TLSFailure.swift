import COpenSSL

/// Why a connection has no TLS, or has it no more. Texts are for people; they name nobody but the host that the client itself asked for.
package enum TLSFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong with the certificate that the other side showed.
    package enum CertificateProblem: Sendable, Equatable {
        case untrusted
        case expired
        case notYetValid
        /// It is for other hosts than this one.
        case wrongName(String)
        /// In OpenSSL's words.
        case other(String)
    }

    case certificate(CertificateProblem)
    /// What the other side sent is no TLS.
    case notTLS
    /// The other side speaks plain HTTP; only a server finds out.
    case plainHTTP
    /// The other side ended it with an alert.
    case refused(alert: String)
    /// The other side broke the protocol, or has nothing in common with this one. In OpenSSL's words.
    case violation(String)
    /// The handshake was not done within ``Limits/tlsHandshakeTimeout``.
    case handshakeTimeout
    case closedInHandshake
    /// The end came without a word: it may be somebody else's doing.
    case cutOff
    /// The other side asks for more answers than it reads.
    case readsNoAnswers

    package var description: String {
        switch self {
        case .certificate(.untrusted): "the relay's certificate is not signed by anybody whom this machine trusts"
        case .certificate(.expired): "the relay's certificate has expired"
        case .certificate(.notYetValid): "the relay's certificate is not valid yet"
        case .certificate(.wrongName(let host)): "the relay's certificate is not for \(host)"
        case .certificate(.other(let text)): "the relay's certificate is refused: \(text)"
        case .notTLS: "what answers there does not speak TLS"
        case .plainHTTP: "plain HTTP on a port that speaks TLS"
        case .refused(let alert): "the other side ended the TLS handshake: \(alert)"
        case .violation(let text): "TLS failed: \(text)"
        case .handshakeTimeout: "the TLS handshake took too long"
        case .closedInHandshake: "the connection was closed during the TLS handshake"
        case .cutOff: "the connection was cut off without TLS's end"
        case .readsNoAnswers: "the other side asks for more answers than it reads"
        }
    }

    /// What to do next, for whoever connects.
    package var hint: String {
        switch self {
        case .certificate(.untrusted): "for a certificate of your own name the one that signed it with --ca-file"
        case .certificate(.expired): "the operator has to renew it; if it was renewed already: systemctl reload relayd"
        case .certificate(.notYetValid): "is this machine's clock right?"
        case .certificate(.wrongName): "use the host name that the certificate is for, or ask the operator"
        case .certificate(.other): "ask the operator; openssl s_client -connect shows the certificate"
        case .notTLS: "use http:// if the relay is reached without TLS, else another port"
        case .plainHTTP: "use https://"
        case .refused, .violation: "openssl s_client -connect shows what the relay speaks"
        case .handshakeTimeout, .closedInHandshake, .cutOff, .readsNoAnswers: "try again; is the port the relay's?"
        }
    }

    /// What OpenSSL's error queue says about the operation that just failed; empties it.
    /// - Parameter verification: the result of checking the other side's certificate.
    static func last(verification: Int, host: String?) -> TLSFailure {
        let code = ERR_get_error()
        ERR_clear_error()
        let reason = ERR_GET_REASON(code)
        if reason == SSL_R_CERTIFICATE_VERIFY_FAILED { return .certificate(.init(verification: verification, host: host)) }
        if reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST { return .plainHTTP }
        // A record header of another protocol; OpenSSL has several words for it.
        if reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_WRONG_SSL_VERSION { return .notTLS }
        let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "unknown"
        return reason >= SSL_AD_REASON_OFFSET ? .refused(alert: text) : .violation(text)
    }
}

extension TLSFailure.CertificateProblem {
    init(verification: Int, host: String?) {
        switch Int32(truncatingIfNeeded: verification) {
        case X509_V_ERR_CERT_HAS_EXPIRED: self = .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: self = .notYetValid
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: self = .wrongName(host ?? "this host")
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED:
            self = .untrusted
        case let other:
            self = .other(String(cString: X509_verify_cert_error_string(Int(other))))
        }
    }
}

/// Why a certificate or its key cannot be used. The texts name files, nothing of what is in them.
package enum TLSIdentityError: Error, Sendable, Equatable, CustomStringConvertible {
    /// `reason` in the system's words.
    case unreadable(path: String, reason: String)
    case tooLarge(path: String)
    /// Others on the machine can read or write it.
    case keyIsOpen(path: String)
    case noCertificate(path: String)
    case noKey(path: String)
    case encryptedKey(path: String)
    case mismatch(certificate: String, key: String)
    case expired(path: String)
    case noCredentials(name: String)
    /// The system's policy refuses it (a key that is too short, say). In OpenSSL's words.
    case refused(path: String, reason: String)
    /// OpenSSL itself cannot be set up. In its words.
    case library(String)

    package var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .tooLarge(let path): "\(path) is too large for a certificate or a key"
        case .keyIsOpen(let path): "\(path) is a private key, and other users of this machine can reach it: chmod o= \(path)"
        case .noCertificate(let path): "\(path) has no certificate: it must be PEM text, relayd's own first, then those that signed it"
        case .noKey(let path): "\(path) has no private key: it must be PEM text"
        case .encryptedKey(let path): "\(path) is encrypted, and there is nobody to ask: openssl pkey -in \(path) writes it without a passphrase"
        case .mismatch(let certificate, let key): "\(key) is not the key of the certificate in \(certificate): they must be of one pair"
        case .expired(let path): "the certificate in \(path) has expired: renew it"
        case .noCredentials(let name):
            "\(name) is not a path but the name of a credential, and the service manager gave none: "
                + "LoadCredential= in the unit file, or an absolute path here"
        case .refused(let path, let reason): "\(path) is refused by the system's policy: \(reason); openssl.cnf(5) has the policy"
        case .library(let reason): "OpenSSL cannot be set up: \(reason)"
        }
    }

    /// The first reason in OpenSSL's error queue; empties it.
    static func reason() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        return ERR_reason_error_string(code).map { String(cString: $0) } ?? "unknown"
    }
}
