import RelayControl
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage

// What the directory knows, as the operator protocol shows it.

extension UserRecord {
    init(_ details: UserDetails, _ sending: MessageSending) {
        self.init(
            id: details.user.id, name: details.user.name.text, displayName: details.user.displayName, avatar: details.user.avatar,
            createdAt: details.user.createdAt, devices: details.devices.map { DeviceRecord($0, sending) }, openInvites: details.openInvites,
            suspendedAt: details.user.suspension?.since, suspendedReason: details.user.suspension?.reason, noLimits: details.user.noLimits,
            eraseAt: details.user.eraseAt)
    }
}

extension DeviceRecord {
    init(_ details: DeviceDetails, _ sending: MessageSending) {
        self.init(
            id: details.device.id, user: details.userName.text, name: details.device.name, fingerprint: details.fingerprint,
            createdAt: details.device.createdAt, online: sending.isOnline(details.device.id), pending: details.pending)
    }
}

extension InviteIssued {
    init(_ invite: IssuedInvite) {
        self.init(id: invite.id, user: invite.user.text, code: invite.code, link: invite.link, expiresAt: invite.expires)
    }
}

extension InviteRecord {
    init(_ row: InviteRow, now: Timestamp) {
        let state: InviteState =
            switch row.state {
            case .open: row.expires > now ? .open : .expired
            case .used: .used
            case .revoked: .revoked
            }
        self.init(id: row.id, user: row.userName.text, state: state, createdAt: row.createdAt, expiresAt: row.expires)
    }
}
