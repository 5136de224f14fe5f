import RelayCrypto
import RelayModel
import RelayStorage

// What operators do and see.
extension Directory {
    /// Adds a user together with a first invite.
    package func addUser(
        name: String, displayName: String?, avatar: String?, inviteLifetime: Duration?, noLimits: Bool = false, actor: Actor
    ) async throws(DirectoryError) -> (user: UserDetails, invite: IssuedInvite) {
        let name = try Directory.name(name)
        if let displayName { _ = try Directory.checked(displayName, "display name", characters: Limits.displayNameCharacters) }
        if let avatar { _ = try Directory.checked(avatar, "avatar reference", characters: Limits.avatarReferenceBytes) }
        let code = InviteCode(entropy: entropy)
        let expires = try expiry(inviteLifetime)
        let outcome = try await perform(
            .addUser(
                AddUser(
                    name: name, displayName: displayName, avatar: avatar, inviteHash: code.hash, inviteExpires: expires, noLimits: noLimits)),
            actor: actor)
        guard case .userAdded(let user, let invite) = outcome else { throw .storeFailed }
        return (try await self.user(user), issued(invite, name, code, expires))
    }

    private func expiry(_ lifetime: Duration?) throws(DirectoryError) -> Timestamp {
        let lifetime = lifetime ?? settings.inviteLifetime
        guard lifetime > .zero, lifetime <= Limits.inviteLifetimeCeiling else {
            throw .invalid("an invite lives between one second and \(Limits.inviteLifetimeCeiling.components.seconds / 86_400) days")
        }
        return clock.now() + lifetime
    }

    private func issued(_ id: InviteID, _ user: UserName, _ code: InviteCode, _ expires: Timestamp) -> IssuedInvite {
        IssuedInvite(id: id, user: user, code: code.text, link: "\(settings.publicURL)/enrol#\(code.text)", expires: expires)
    }

    /// A page of users in the order of their names.
    package func users(after: UserName?, limit: Int) async throws(DirectoryError) -> [UserDetails] {
        let now = clock.now()
        return try await readers.look { reader in
            try reader.users(after: after, limit: limit).map { try Directory.details(of: $0, reader, now) }
        }
    }

    package func user(named name: String) async throws(DirectoryError) -> UserDetails { try await user(find(name).id) }

    /// What ``removeUser(named:actor:)`` would remove.
    package func planRemoval(named name: String) async throws(DirectoryError) -> UserRemoval { try await removal(of: find(name)) }

    private func removal(of user: UserRow) async throws(DirectoryError) -> UserRemoval {
        let now = clock.now()
        return try await readers.look { reader in
            UserRemoval(
                user: user.name, devices: try reader.devices(of: user.id).count, openInvites: try reader.openInvites(of: user.id, at: now),
                mailboxEntries: try reader.pending(for: user.id, behind: 0))
        }
    }

    /// Removes a user. Devices, invites and the name are gone when this returns; groups and what nobody else can receive follow in the background.
    package func removeUser(named name: String, actor: Actor) async throws(DirectoryError) -> UserRemoval {
        let user = try await find(name)
        let removal = try await removal(of: user)
        guard case .userGone(let gone) = try await perform(.removeUser(user.id), actor: actor, telling: true) else { throw .storeFailed }
        revocations.revoked(gone.devices)
        finishRemoval(of: user.id)
        return removal
    }

    package func createInvite(user name: String, lifetime: Duration?, actor: Actor) async throws(DirectoryError) -> IssuedInvite {
        let user = try await find(name)
        let code = InviteCode(entropy: entropy)
        let expires = try expiry(lifetime)
        let outcome = try await perform(.addInvite(AddInvite(user: user.id, hash: code.hash, expires: expires)), actor: actor)
        guard case .inviteAdded(let id) = outcome else { throw .storeFailed }
        return issued(id, user.name, code, expires)
    }

    /// Newest first, at most ``Limits/pageSizeCeiling``.
    package func invites(ofUser name: String?) async throws(DirectoryError) -> [InviteRow] {
        var user: UserID?
        if let name { user = try await find(name).id }
        return try await readers.look { [user] in try $0.invites(of: user, limit: Limits.pageSizeCeiling) }
    }

    package func invite(_ id: InviteID) async throws(DirectoryError) -> InviteRow {
        guard let row = try await readers.look({ try $0.invite(id) }) else { throw .rejected(.inviteUnknown) }
        return row
    }

    /// Revoking an invite twice is fine; a used one stays used.
    package func revokeInvite(_ id: InviteID, actor: Actor) async throws(DirectoryError) -> InviteRow {
        let row = try await invite(id)
        guard row.state == .open else { return row }
        _ = try await perform(.revokeInvite(id), actor: actor)
        return try await invite(id)
    }

    /// A user's devices, or those of the first ``Limits/pageSizeCeiling`` users.
    package func devices(ofUser name: String?) async throws(DirectoryError) -> [DeviceDetails] {
        if let name { return try await user(named: name).devices }
        return try await users(after: nil, limit: Limits.pageSizeCeiling).flatMap(\.devices)
    }

    package func device(_ id: DeviceID) async throws(DirectoryError) -> DeviceDetails {
        let found = try await readers.look { reader -> DeviceDetails? in
            guard let device = try reader.device(id), let user = try reader.user(device.user) else { return nil }
            return try Directory.details(of: device, user, reader)
        }
        guard let found else { throw .rejected(.deviceUnknown) }
        return found
    }

    /// The device's tokens and connections are dead when this returns.
    package func revokeDevice(_ id: DeviceID, actor: Actor) async throws(DirectoryError) -> DeviceDetails {
        let details = try await device(id)
        _ = try await perform(.revokeDevice(id), actor: actor, telling: true)
        revocations.revoked([id])
        return details
    }

    package func audit(_ query: AuditQuery = AuditQuery(), limit: Int) async throws(DirectoryError) -> [AuditRow] {
        try await readers.look { try $0.audit(query, limit: limit) }
    }

    /// Holds the operators' log against its chain of hashes.
    package func checkAudit() async throws(DirectoryError) -> AuditCheck {
        var check = AuditCheck(kept: Limits.auditEntriesKept)
        var from: UInt64? = 0
        while let stamp = from {
            (check, from) = try await readers.look { [check] in try $0.check(check, after: stamp, limit: Limits.auditPage) }
        }
        check.finish()
        return check
    }

    package func counts() async throws(DirectoryError) -> Counts {
        let now = clock.now()
        return try await readers.look { try $0.counts(at: now) }
    }

    static func details(of user: UserRow, _ reader: Reader, _ now: Timestamp) throws -> UserDetails {
        UserDetails(
            user: user, devices: try reader.devices(of: user.id).map { try details(of: $0, user, reader) },
            openInvites: try reader.openInvites(of: user.id, at: now))
    }

    private static func details(of device: DeviceRow, _ user: UserRow, _ reader: Reader) throws -> DeviceDetails {
        DeviceDetails(
            device: device, userName: user.name, fingerprint: Hashing.fingerprint(identityKey: device.keys.identityKey),
            pending: try reader.pending(for: user.id, behind: device.cursor))
    }
}
