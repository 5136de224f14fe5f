import RelayModel
import RelaySQLite

// Users, invites and devices.
extension SQLiteEngine {
    func addUser(_ command: AddUser, _ stamp: Stamp) throws -> Outcome {
        let taken = statements.findUserName
        defer { taken.reset() }
        taken.bind(1, command.name.text)
        taken.bindNull(2)
        guard try !taken.step() else { throw Rejection.userNameTaken }
        let user = UserID(stamp.rawValue)
        try statements.insertUser.run {
            $0.bind(1, user.rawValue)
            $0.bind(2, command.name.text)
            $0.bind(3, command.displayName)
            $0.bind(4, command.avatar)
            $0.bind(5, command.noLimits ? 1 : 0)
        }
        let invite = try insertInvite(user: user, hash: command.inviteHash, expires: command.inviteExpires, stamp)
        let state = UserState(id: user, removed: false, devices: [])
        state.noLimits = command.noLimits
        users[user] = state
        return .userAdded(user, invite: invite)
    }

    func addInvite(_ command: AddInvite, _ stamp: Stamp) throws -> Outcome {
        _ = try presentUser(command.user)
        let count = statements.countOpenInvites
        defer { count.reset() }
        count.bind(1, command.user.rawValue)
        count.bind(2, stamp.time.milliseconds)
        guard try count.step(), count.integer(0) < Limits.invitesPerUser else {
            throw Rejection.inviteLimitReached(limit: Limits.invitesPerUser)
        }
        return .inviteAdded(try insertInvite(user: command.user, hash: command.hash, expires: command.expires, stamp))
    }

    private func insertInvite(user: UserID, hash: [UInt8], expires: Timestamp, _ stamp: Stamp) throws(SQLiteError) -> InviteID {
        try statements.insertInvite.run {
            $0.bind(1, stamp.rawValue)
            $0.bind(2, user.rawValue)
            $0.bind(3, hash)
            $0.bind(4, expires.milliseconds)
        }
        return InviteID(stamp.rawValue)
    }

    func revokeInvite(_ invite: InviteID) throws -> Outcome {
        try setState(.revoked, of: invite)
        guard database.changes == 1 else { throw Rejection.inviteUnknown }
        return .done
    }

    private func setState(_ state: InviteRow.State, of invite: InviteID) throws(SQLiteError) {
        try statements.setInviteState.run {
            $0.bind(1, invite.rawValue)
            $0.bind(2, state.rawValue)
        }
    }

    func enrolDevice(_ command: EnrolDevice, _ stamp: Stamp) throws -> Outcome {
        let invite = statements.loadInvite
        defer { invite.reset() }
        invite.bind(1, command.inviteHash)
        guard try invite.step() else { throw Rejection.inviteUnknown }
        let inviteID = InviteID(invite.unsigned(0))
        switch InviteRow.State(rawValue: invite.integer(3)) {
        case .open: break
        case .used:
            guard let device = try enrolled(command.keys, of: UserID(invite.unsigned(1))) else { throw Rejection.inviteUsed }
            return .enrolled(try enrolment(of: device, user: UserID(invite.unsigned(1))))
        case .revoked, nil: throw Rejection.inviteRevoked
        }
        guard invite.integer(2) > stamp.time.milliseconds else { throw Rejection.inviteExpired }
        let owner = try user(UserID(invite.unsigned(1)))
        guard !owner.suspended else { throw Rejection.userSuspended }
        let enrolled = try addDevice(command.keys, named: command.deviceName, to: owner, limit: command.devicesPerUser, stamp)
        try setState(.used, of: inviteID)
        return .enrolled(enrolled)
    }

    /// One of the user's devices vouches for the new one.
    func linkDevice(_ command: LinkDevice, _ stamp: Stamp) throws -> Outcome {
        let owner = try activeDevice(command.by, of: command.user).user
        guard !owner.suspended else { throw Rejection.userSuspended }
        if let device = try enrolled(command.keys, of: owner.id) { return .enrolled(try enrolment(of: device, user: owner.id)) }
        return .enrolled(try addDevice(command.keys, named: command.deviceName, to: owner, limit: command.devicesPerUser, stamp))
    }

    private func addDevice(
        _ keys: DeviceKeySet, named name: String, to owner: UserState, limit: Int, _ stamp: Stamp
    ) throws -> Enrolled {
        guard owner.devices.count < limit else { throw Rejection.deviceLimitReached(limit: limit) }
        let device = DeviceID(stamp.rawValue)
        try statements.insertDevice.run {
            $0.bind(1, device.rawValue)
            $0.bind(2, owner.id.rawValue)
            $0.bind(3, name)
            $0.bind(4, keys.identityKey)
            $0.bind(5, keys.agreementKey)
            $0.bind(6, keys.agreementSignature)
        }
        // Nothing that was sent before is wrapped for the new device: its mailbox begins now.
        let state = DeviceState(id: device, user: owner, revoked: false, highestClientMessageID: 0, cursor: stamp.rawValue)
        noteChange(of: state)
        devices[device] = state
        owner.add(device)
        var enrolled = try enrolment(of: device, user: owner.id)
        enrolled.change = try keyChange(of: device, owner, [.enrolled], formerUntil: nil, stamp)
        return enrolled
    }

    /// The device that was added before, when the same device asks again because it never got the answer.
    private func enrolled(_ keys: DeviceKeySet, of user: UserID) throws(SQLiteError) -> DeviceID? {
        let find = statements.findEnrolled
        defer { find.reset() }
        find.bind(1, user.rawValue)
        find.bind(2, keys.identityKey)
        find.bind(3, keys.agreementKey)
        return try find.step() ? DeviceID(find.unsigned(0)) : nil
    }

    private func enrolment(of device: DeviceID, user: UserID) throws -> Enrolled {
        let name = statements.findUserName
        defer { name.reset() }
        name.bindNull(1)
        name.bind(2, user.rawValue)
        guard try name.step(), let text = name.text(0) else { throw Rejection.userUnknown }
        return Enrolled(user: user, userName: UserName(checked: text), device: device)
    }

    func revokeDevice(_ id: DeviceID, _ stamp: Stamp) throws -> Outcome {
        let device = try activeDevice(id)
        try revoke(device)
        return .deviceRevoked(try keyChange(of: id, device.user, [.revoked], formerUntil: nil, stamp))
    }

    private func revoke(_ device: DeviceState) throws(SQLiteError) {
        for statement in [statements.revokeDevice, statements.deleteProgress] {
            try statement.run { $0.bind(1, device.id.rawValue) }
        }
        try deletePrekeys(of: device.id)
        device.revoked = true
        device.user.remove(device.id)
    }

    func removeUser(_ id: UserID, _ stamp: Stamp) throws -> Outcome {
        let state = try presentUser(id)
        try checkNoErasure(of: id)
        return .userGone(try remove(state, erasing: false, stamp))
    }

    /// What ends at once for a user who goes, whichever way. The rest goes in steps of `clearUser`.
    /// - Parameter erasing: others keep nothing that says with whom they had to do.
    func remove(_ state: UserState, erasing: Bool, _ stamp: Stamp) throws -> UserGone {
        let devices = state.devices
        for device in devices { try revoke(try activeDevice(device)) }
        try statements.deleteInvites.run { $0.bind(1, state.id.rawValue) }
        try deleteAlerts(about: state.id)
        try statements.clearUser.run { $0.bind(1, state.id.rawValue) }
        state.removed = true
        userCount -= 1
        let contacts = erasing ? try eraseContacts(of: state.id, stamp) : try endContacts(of: state.id, stamp)
        return UserGone(user: state.id, devices: Array(devices), contacts: contacts)
    }

    func suspendUser(_ id: UserID, reason: String?, _ stamp: Stamp) throws -> Outcome {
        let state = try presentUser(id)
        try statements.suspendUser.run {
            $0.bind(1, id.rawValue)
            $0.bind(2, stamp.rawValue)
            $0.bind(3, reason)
        }
        state.suspended = true
        return .done
    }

    func resumeUser(_ id: UserID) throws -> Outcome {
        let state = try presentUser(id)
        try checkNoErasure(of: id)
        try statements.resumeUser.run { $0.bind(1, id.rawValue) }
        state.suspended = false
        return .done
    }
}
