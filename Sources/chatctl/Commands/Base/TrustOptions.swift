import ArgumentParser
import RelayTLS

/// Whose signature under the relay's certificate counts.
struct TrustOptions: ParsableArguments {
    @Option(
        name: .customLong("ca-file"),
        help: ArgumentHelp("Trust the certificates in this PEM file, instead of the system's, to sign the relay's.", valueName: "path"),
        completion: .file())
    var file: String?

    var trust: TLSTrust { file.map { .file($0) } ?? .system }

    func validate() throws {
        guard let file else { return }
        do throws(TLSIdentityError) { _ = try TLSClient.shared(for: .file(file)) } catch { throw ValidationError("--ca-file: \(error)") }
    }
}
