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
            if request.low ?? false {
                let (keys, next) = try await directory.keysLowOnPrekeys(ofUser: request.user, after: request.after, limit: limit)
                return KeyList.Reply(keys: keys.map { KeyRecord($0) }, next: next)
            }
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
                next: keys.count == limit ? keys.last?.device.id : nil,
                changes: request.after == nil ? try await directory.auditOfKeys(limit: 100).map { AuditRecord($0) } : nil)
        }
    }

    func keyRevoke(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(KeyRevoke.self, body, subject: \.device.description) { request in
            let kinds: [RevokeKeys.Kind] =
                switch request.kind ?? .all {
                case .signed: [.signed]
                case .lastResort: [.lastResort]
                case .oneTime: [.oneTime]
                case .all: RevokeKeys.Kind.allCases
                case .agreement:
                    throw ControlError(
                        .badRequest, "the agreement key of a device cannot be taken away: nobody could write to the device then",
                        hint: "chatctl device revoke \(request.device) ends the device; chatctl key expire \(request.device) ends replaced keys")
                }
            let before = try await directory.planKeyChange(of: request.device)
            let state = before.state
            var reply = KeyRevoke.Reply(
                device: request.device, user: before.userName?.text, dryRun: request.dryRun ?? false,
                signedPrekey: kinds.contains(.signed) && state?.signedPrekey ?? 0 > 0,
                lastResortPrekey: kinds.contains(.lastResort) && state?.lastResortPrekey ?? 0 > 0,
                oneTimePrekeys: kinds.contains(.oneTime) ? state?.oneTimePrekeys ?? 0 : 0)
            if reply.dryRun {
                guard reply.signedPrekey || reply.lastResortPrekey || reply.oneTimePrekeys > 0 else { throw DirectoryError.rejected(.keysUnknown) }
                return reply
            }
            let actor = try actor(caller, .keyRevoke, request.device.description, request.reason)
            let revoked = try await directory.revokeKeys(of: request.device, kinds, actor: actor)
            note(.keyRevoke, caller)
            (reply.signedPrekey, reply.lastResortPrekey, reply.oneTimePrekeys) = (revoked.signed, revoked.lastResort, revoked.oneTime)
            return reply
        }
    }

    func keyExpire(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(KeyExpire.self, body, subject: \.device.description) { request in
            let before = try await directory.planKeyChange(of: request.device)
            let all = request.all ?? false
            let former = before.keys.count { $0.expires != nil && (all || $0.kind == .agreement) }
            var reply = KeyExpire.Reply(device: request.device, user: before.userName?.text, dryRun: request.dryRun ?? false, expired: former)
            if reply.dryRun {
                guard former > 0 else { throw DirectoryError.rejected(.keysUnknown) }
                return reply
            }
            let actor = try actor(caller, .keyExpire, request.device.description, request.reason)
            reply.expired = try await directory.expireKeys(of: request.device, prekeys: all, actor: actor)
            note(.keyExpire, caller)
            return reply
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
            signatureValid: check.signatureValid, prekeys: check.state.map { PrekeyRecord($0, check.keys) })
    }
}

extension PrekeyRecord {
    init(_ state: DeviceKeysState, _ keys: [DeviceKeyRow]) {
        func since(_ kind: StoredKeyKind) -> Timestamp? { keys.first { $0.kind == kind && $0.expires == nil }?.since }
        func id(_ id: UInt64) -> UInt64? { id == 0 ? nil : id }
        self.init(
            agreementVersion: Int(state.agreementVersion), agreementSince: since(.agreement), signedPrekey: id(state.signedPrekey),
            signedPrekeySince: since(.signedPrekey), lastResortPrekey: id(state.lastResortPrekey), lastResortPrekeySince: since(.lastResortPrekey),
            oneTimePrekeys: state.oneTimePrekeys, highestOneTimeID: id(state.highestOneTimeID),
            replaced: keys.compactMap { key in
                key.expires.map { ReplacedKeyRecord(kind: ReplacedKeyRecord.Kind(key.kind), id: key.key.id, validUntil: $0) }
            })
    }
}

extension ReplacedKeyRecord.Kind {
    init(_ kind: StoredKeyKind) {
        self =
            switch kind {
            case .agreement: .agreement
            case .signedPrekey: .signed
            case .lastResortPrekey: .lastResort
            }
    }
}
