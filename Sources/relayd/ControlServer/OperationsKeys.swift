import NIOCore
import RelayControl
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage

// Keys of devices, and their connections.
extension Operations {
    func keyList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(KeyList.self, body, subject: { $0.user ?? "" }) { request in
            let limit = try limit(request.limit, default: Limits.pageSizeCeiling)
            let keys = try await directory.keys(ofUser: request.user, after: request.after, activeOnly: false, limit: limit)
            return KeyList.Reply(keys: keys.map { KeyRecord($0) }, next: keys.count == limit ? keys.last?.device.id : nil)
        }
    }

    func keyShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(KeyShow.self, body, subject: \.device.description) { request in KeyRecord(try await directory.keys(of: request.device)) }
    }

    func keyAudit(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(KeyAudit.self, body) { request in
            let limit = Limits.pageSizeCeiling
            let keys = try await directory.keys(ofUser: nil, after: request.after, activeOnly: true, limit: limit)
            return KeyAudit.Reply(
                checked: keys.count, wrong: keys.filter { !$0.signatureValid }.map { KeyRecord($0) },
                next: keys.count == limit ? keys.last?.device.id : nil)
        }
    }

    /// Closed as at a restart of the relay: after that a client comes back by itself within seconds.
    func deviceKick(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(DeviceKick.self, body, subject: \.device.description) { request in
            let details = try await directory.device(request.device)
            try await directory.audit(try actor(caller, .deviceKick, request.device.description, request.reason))
            let wasConnected = sending.disconnect(request.device, .restarting)
            note(.deviceKick, caller)
            return DeviceKick.Reply(
                device: details.device.id, user: details.userName.text, name: details.device.name, wasConnected: wasConnected)
        }
    }
}

extension KeyRecord {
    init(_ check: KeyCheck) {
        let device = check.device
        self.init(
            device: device.id, user: check.userName?.text, name: device.name.isEmpty ? nil : device.name, enrolledAt: device.createdAt,
            revoked: device.revoked, identityFingerprint: check.identityFingerprint, agreementFingerprint: check.agreementFingerprint,
            signatureValid: check.signatureValid)
    }
}
