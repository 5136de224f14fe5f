import NIOCore
import NIOPosix
import RelayControl

/// The daemon's configuration as operators see it; secrets are masked. Any thread.
package protocol ConfigurationReport: Sendable {
    /// What the daemon runs with.
    func inForce() -> ConfigShow.Reply
    /// What the file on the disk says otherwise. Reads it, so it may block; throws when it is wrong.
    func difference() throws(ControlError) -> ConfigDiff.Reply
}

// The configuration.
extension Operations {
    func configShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(ConfigShow.self, body) { _ in try configuration().inForce() }
    }

    func configDiff(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(ConfigDiff.self, body) { _ in
            let report = try configuration()
            return try await NIOThreadPool.singleton.runIfActive { try report.difference() }
        }
    }

    private func configuration() throws(ControlError) -> any ConfigurationReport {
        guard let report = settings.configuration else { throw ControlError(.failed, "this relay has no configuration to show") }
        return report
    }
}
