import COpenSSL
import Foundation

/// An authority of one's own, and certificates that it signs: made anew in each test, so that none in the repository can expire.
package final class TestAuthority {
    /// A certificate with its key, as PEM files.
    package struct Pair: Sendable {
        package var certificate: String
        package var key: String
    }

    private let directory: TemporaryDirectory
    private let key: OpaquePointer
    private let certificate: OpaquePointer
    private var serial = 1

    /// The authority's own certificate, for `--ca-file`.
    package var file: String { directory.file("ca-\(name).pem") }
    private let name: String

    package init(in directory: TemporaryDirectory, name: String = "test") throws {
        self.directory = directory
        self.name = name
        key = try TestAuthority.makeKey()
        certificate = try TestAuthority.make(
            subject: "relayd test authority \(name)", key: key, days: -1...365, serial: 1,
            extensions: [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign")], issuer: nil)
        try TestAuthority.write([certificate], to: file)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// - Parameters:
    ///   - names: as openssl has them, such as `DNS:localhost,IP:127.0.0.1`.
    ///   - days: from now, between which it is good.
    ///   - as: where it is written; an earlier one of that name is replaced at once, as programs that renew do.
    package func issue(
        _ names: String = "DNS:localhost,IP:127.0.0.1,IP:::1", days: ClosedRange<Int> = -1...90, as file: String = "relay"
    ) throws -> Pair {
        let leaf = try TestAuthority.makeKey()
        defer { EVP_PKEY_free(leaf) }
        serial += 1
        let signed = try TestAuthority.make(
            subject: "relay", key: leaf, days: days, serial: serial,
            extensions: [(NID_subject_alt_name, names), (NID_basic_constraints, "CA:FALSE"), (NID_ext_key_usage, "serverAuth")],
            issuer: (certificate, key))
        defer { X509_free(signed) }
        let pair = Pair(certificate: directory.file("\(file).pem"), key: directory.file("\(file).key"))
        try TestAuthority.write([signed, certificate], to: pair.certificate)
        try TestAuthority.write(key: leaf, to: pair.key)
        return pair
    }

    // MARK: OpenSSL

    private static func makeKey() throws -> OpaquePointer {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { throw SupportFailure("no keys of elliptic curves") }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_group_name(context, "P-256") == 1, EVP_PKEY_generate(context, &key) == 1,
            let key
        else { throw SupportFailure("a key cannot be made") }
        return key
    }

    private static func make(
        subject: String, key: OpaquePointer, days: ClosedRange<Int>, serial: Int, extensions: [(nid: Int32, value: String)],
        issuer: (certificate: OpaquePointer, key: OpaquePointer)?
    ) throws -> OpaquePointer {
        guard let certificate = X509_new() else { throw SupportFailure("no memory for a certificate") }
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial)
        X509_gmtime_adj(X509_getm_notBefore(certificate), days.lowerBound * 86_400)
        X509_gmtime_adj(X509_getm_notAfter(certificate), days.upperBound * 86_400)
        X509_set_pubkey(certificate, key)
        let name = X509_get_subject_name(certificate)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, subject, -1, -1, 0)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0.certificate) } ?? name)
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer?.certificate ?? certificate, certificate, nil, nil, 0)
        for (nid, value) in extensions {
            guard let made = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw SupportFailure("no extension \(value)") }
            X509_add_ext(certificate, made, -1)
            X509_EXTENSION_free(made)
        }
        guard X509_sign(certificate, issuer?.key ?? key, EVP_sha256()) > 0 else { throw SupportFailure("a certificate cannot be signed") }
        return certificate
    }

    private static func write(_ certificates: [OpaquePointer], to path: String) throws {
        try write(to: path, mode: 0o644) { bio in certificates.allSatisfy { PEM_write_bio_X509(bio, $0) == 1 } }
    }

    private static func write(key: OpaquePointer, to path: String) throws {
        try write(to: path, mode: 0o600) { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) == 1 }
    }

    private static func write(to path: String, mode: Int, _ body: (OpaquePointer) -> Bool) throws {
        guard let bio = BIO_new(BIO_s_mem()) else { throw SupportFailure("no memory") }
        defer { BIO_free(bio) }
        guard body(bio) else { throw SupportFailure("PEM cannot be written") }
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(bio))
        let count = BIO_read(bio, &bytes, Int32(bytes.count))
        let manager = FileManager.default
        let temporary = path + ".new"
        try Data(bytes.prefix(Int(max(0, count)))).write(to: URL(filePath: temporary))
        try manager.setAttributes([.posixPermissions: mode], ofItemAtPath: temporary)
        guard rename(temporary, path) == 0 else { throw SupportFailure.system("renaming \(path)") }
    }
}
