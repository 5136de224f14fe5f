import RelayControl

// What operators see of a backup.
extension BackupRecord {
    package init(name: String, bytes: Int, _ manifest: BackupManifest) {
        self.init(
            name: name, bytes: bytes, at: manifest.at, relayVersion: manifest.relayVersion, schema: manifest.schema, reason: manifest.reason.rawValue)
    }

    package init(_ entry: BackupEntry) {
        switch entry.manifest {
        case .success(let manifest): self.init(name: entry.name, bytes: entry.bytes, manifest)
        case .failure(let error): self.init(name: entry.name, bytes: entry.bytes, problem: ControlError(error, "").message)
        }
    }
}
