import RelayControl
import RelayModel

/// How the operator protocol's records look on a page; shared by the commands that show them.
extension Page {
    mutating func users(_ users: [UserRecord]) {
        table(
            ["NAME", "DISPLAY NAME", "STATE", Column("DEVICES", .right), Column("ONLINE", .right), Column("INVITES", .right), "CREATED", "ID"],
            users.map { user in
                [
                    Cell(user.name, .strong), Cell(user.displayName ?? ""), state(of: user), "\(user.devices.count)",
                    "\(user.devices.count { $0.online })", "\(user.openInvites)", Cell(Figures.time(user.createdAt)),
                    Cell(user.id.description, .faint),
                ]
            })
    }

    mutating func user(_ user: UserRecord) {
        pairs(
            [
                ("user", Cell(user.name, .strong)), ("id", Cell(user.id.description)), ("display name", Cell(user.displayName ?? "")),
                ("avatar", Cell(user.avatar ?? "")), ("created", Cell(Figures.time(user.createdAt))), ("state", stateInFull(of: user)),
                ("rate limits", user.noLimits ? "none" : "as configured"), ("open invites", "\(user.openInvites)"),
                ("devices", "\(user.devices.count)"),
                ("last seen", user.lastSeenAt.map { Cell(Figures.time($0)) } ?? Cell("hidden, or not known", .faint)),
            ] + (user.relations.map(Self.relations) ?? []))
        if !user.devices.isEmpty {
            blank()
            devices(user.devices)
        }
    }

    private static func relations(_ relations: UserRelations) -> [(key: String, value: Cell)] {
        [
            ("contacts", Cell("\(Figures.count(relations.accepted)) accepted, \(Figures.count(relations.requested)) asked and not answered")),
            ("requests", Cell("\(Figures.count(relations.incoming)) waiting, \(Figures.count(relations.ignored)) ignored")),
            ("blocks", Cell("\(Figures.count(relations.blocks)), blocked by \(Figures.count(relations.blockedBy))")),
            ("groups", Cell(Figures.count(relations.groups))),
        ]
    }

    mutating func devices(_ devices: [DeviceRecord]) {
        table(
            ["DEVICE", "USER", "NAME", "STATE", Column("PENDING", .right), "ENROLLED", "FINGERPRINT"],
            devices.map { device in
                [
                    Cell(device.id.description), Cell(device.user, .strong), Cell(device.name), state(of: device),
                    Cell(Figures.count(device.pending)),
                    Cell(Figures.time(device.createdAt)), Cell(device.fingerprint, .faint),
                ]
            })
    }

    mutating func device(_ device: DeviceRecord) {
        pairs([
            ("device", Cell(device.id.description, .strong)), ("user", Cell(device.user)), ("name", Cell(device.name)), ("state", state(of: device)),
            ("pending", Cell(Figures.number(device.pending, "envelope"))), ("enrolled", Cell(Figures.time(device.createdAt))),
            ("fingerprint", Cell(device.fingerprint)),
        ])
    }

    mutating func invites(_ invites: [InviteRecord]) {
        table(
            ["INVITE", "USER", "STATE", "CREATED", "EXPIRES"],
            invites.map { invite in
                [
                    Cell(invite.id.description), Cell(invite.user, .strong), state(of: invite), Cell(Figures.time(invite.createdAt)),
                    Cell(Figures.time(invite.expiresAt)),
                ]
            })
    }

    /// The link that a person gets, when it ends, and the same as a QR code.
    mutating func issued(_ invite: InviteIssued, code: String?) {
        pairs([
            ("invite", Cell(invite.id.description)), ("link", Cell(invite.link, .strong)),
            ("expires", Cell("\(Figures.time(invite.expiresAt)) (in \(Figures.span(invite.expiresAt - now)))")),
        ])
        if let code {
            blank()
            block(code)
        }
    }

    private func state(of user: UserRecord) -> Cell {
        if user.eraseAt != nil { return Cell("to be erased", .bad) }
        return user.suspendedAt == nil ? Cell("active") : Cell("suspended", .bad)
    }

    private func stateInFull(of user: UserRecord) -> Cell {
        if let due = user.eraseAt { return Cell("to be erased at \(Figures.time(due)) (in \(Figures.span(due - now)))", .bad) }
        guard let since = user.suspendedAt else { return state(of: user) }
        return Cell("suspended since \(Figures.time(since))\(user.suspendedReason.map { ": \($0)" } ?? "")", .bad)
    }

    private func state(of device: DeviceRecord) -> Cell { device.online ? Cell("online", .good) : Cell("offline", .faint) }

    private func state(of invite: InviteRecord) -> Cell {
        switch invite.state {
        case .open: Cell("open", .good)
        case .used: Cell("used")
        case .expired: Cell("expired", .faint)
        case .revoked: Cell("revoked", .bad)
        }
    }
}
