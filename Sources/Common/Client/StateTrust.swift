import FoundationEssentials
import Glibc
import RelayHTTP
import RelayModel
import RelayTLS

/// Whom a device trusts to sign its relay's certificate: the system's store, or the file `ca.pem` in its directory, which is a copy of the one that
/// was named when it was enrolled.
extension StateDirectory {
    private var trustPath: String { path + "/ca.pem" }

    var trust: TLSTrust { access(trustPath, F_OK) == 0 ? .file(trustPath) : .system }

    /// Keeps a copy of the file that an endpoint names, or forgets an earlier one.
    func keep(_ endpoint: Endpoint) throws(ClientError) {
        guard case .tls(_, _, .file(let named)) = endpoint else {
            unlink(trustPath)
            return
        }
        guard named != trustPath else { return }
        let bytes: Data
        do { bytes = try Data(contentsOf: URL(filePath: named)) } catch {
            throw .state(path: named, problem: "cannot be read", hint: "name a PEM file with --ca-file")
        }
        guard bytes.count <= Limits.tlsFileBytes else {
            throw .state(path: named, problem: "is too large for certificates", hint: "name a PEM file with --ca-file")
        }
        do {
            try bytes.write(to: URL(filePath: trustPath), options: .atomic)
        } catch {
            throw .state(path: trustPath, problem: "cannot be written", hint: "is the disk full?")
        }
        chmod(trustPath, 0o600)
    }
}
