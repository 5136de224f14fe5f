import RelayModel
import RelaySQLite

// Users, devices, invites.
extension Reader {
    private static func user(_ row: Statement) -> UserRow {
        UserRow(
            id: UserID(row.unsigned(0)), name: UserName(checked: row.text(1) ?? ""), displayName: row.text(2), avatar: row.text(3),
            suspension: row.unsigned(4) == 0 ? nil : Suspension(since: Stamp(rawValue: row.unsigned(4)).time, reason: row.text(5)),
            noLimits: row.integer(6) != 0, eraseAt: row.isNull(7) ? nil : Timestamp(milliseconds: row.integer(7)),
            retentionClass: row.text(8), sharing: PresenceSharing(hides: row.integer(9)),
            lastSeen: row.isNull(10) ? nil : Timestamp(milliseconds: row.integer(10)))
    }

    private static let userColumns =
        """
        SELECT user_id, name, display_name, avatar, suspended, suspended_reason, no_limits,
            (SELECT due_ms FROM erasures e WHERE e.user_id = users.user_id), retention_class, hides, last_seen_ms FROM users
        """

    package func user(_ id: UserID) throws -> UserRow? {
        try rows(Reader.userColumns + " WHERE user_id = ? AND removed = 0", bind: { $0.bind(1, id.rawValue) }, Reader.user).first
    }

    package func user(named name: UserName) throws -> UserRow? {
        try rows(Reader.userColumns + " WHERE name = ?", bind: { $0.bind(1, name.text) }, Reader.user).first
    }

    /// Users in the order of their names' bytes.
    package func users(after name: UserName?, limit: Int) throws -> [UserRow] {
        try rows(
            Reader.userColumns + " WHERE name > ? ORDER BY name LIMIT ?",
            bind: {
                $0.bind(1, name?.text ?? "")
                $0.bind(2, limit)
            }, Reader.user)
    }

    /// Every user about whom the directory keeps something in memory.
    package func exceptionalUsers() throws -> (suspended: [UserID], withoutLimits: [UserID]) {
        let found: [(UserID, suspended: Bool, noLimits: Bool)] = try rows(
            """
            SELECT user_id, suspended OR user_id IN (SELECT user_id FROM erasures), no_limits FROM users
            WHERE removed = 0 AND (suspended != 0 OR no_limits != 0 OR user_id IN (SELECT user_id FROM erasures))
            """
        ) { (UserID($0.unsigned(0)), $0.integer(1) != 0, $0.integer(2) != 0) }
        return (found.filter(\.suspended).map(\.0), found.filter(\.noLimits).map(\.0))
    }

    /// Users that are removed but still in a group, or have messages that nobody else can receive; not those that are being erased.
    package func unfinishedRemovals() throws -> [UserID] {
        try rows("SELECT user_id FROM users WHERE removed = 1 AND user_id NOT IN (SELECT user_id FROM erasures)") { UserID($0.unsigned(0)) }
    }

    private static let deviceColumns =
        """
        SELECT d.device_id, d.user_id, d.name, d.identity_key, d.agreement_key, d.agreement_signature, coalesce(c.mailbox_seq, 0),
            d.revoked, d.agreement_version FROM devices d LEFT JOIN progress c USING (device_id) WHERE TRUE
        """

    private static func device(_ row: Statement) -> DeviceRow {
        DeviceRow(
            id: DeviceID(row.unsigned(0)), user: UserID(row.unsigned(1)), name: row.text(2) ?? "",
            keys: DeviceKeySet(identityKey: row.bytes(3), agreementKey: row.bytes(4), agreementSignature: row.bytes(5)),
            agreementVersion: UInt32(truncatingIfNeeded: row.unsigned(8)), cursor: row.unsigned(6), revoked: row.integer(7) != 0)
    }

    /// Up to where a device has its user's mailbox; 0 for an unknown one.
    package func cursor(of device: DeviceID) throws -> UInt64 {
        try rows("SELECT mailbox_seq FROM progress WHERE device_id = ?", bind: { $0.bind(1, device.rawValue) }) { $0.unsigned(0) }.first ?? 0
    }

    /// An active device.
    package func device(_ id: DeviceID) throws -> DeviceRow? {
        try rows(Reader.deviceColumns + " AND d.revoked = 0 AND d.device_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.device).first
    }

    /// A device, also a revoked one.
    package func anyDevice(_ id: DeviceID) throws -> DeviceRow? {
        try rows(Reader.deviceColumns + " AND d.device_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.device).first
    }

    /// A user's active devices, in the order of their identifiers.
    package func devices(of user: UserID) throws -> [DeviceRow] {
        try rows(
            Reader.deviceColumns + " AND d.revoked = 0 AND d.user_id = ? ORDER BY d.device_id", bind: { $0.bind(1, user.rawValue) }, Reader.device)
    }

    /// Every active device with its user: what the directory keeps in memory.
    package func allDevices() throws -> [(DeviceID, UserID)] {
        try rows("SELECT device_id, user_id FROM devices WHERE revoked = 0") { (DeviceID($0.unsigned(0)), UserID($0.unsigned(1))) }
    }

    private static let inviteColumns =
        "SELECT i.invite_id, i.user_id, u.name, i.expires_ms, i.state FROM invites i JOIN users u USING (user_id) WHERE u.removed = 0"

    private static func invite(_ row: Statement) -> InviteRow {
        InviteRow(
            id: InviteID(row.unsigned(0)), user: UserID(row.unsigned(1)), userName: UserName(checked: row.text(2) ?? ""),
            expires: Timestamp(milliseconds: row.integer(3)), state: InviteRow.State(rawValue: row.integer(4)) ?? .revoked)
    }

    package func invite(_ id: InviteID) throws -> InviteRow? {
        try rows(Reader.inviteColumns + " AND i.invite_id = ?", bind: { $0.bind(1, id.rawValue) }, Reader.invite).first
    }

    /// Newest first; of one user or of all.
    package func invites(of user: UserID?, limit: Int) throws -> [InviteRow] {
        try rows(
            Reader.inviteColumns + " AND (?1 IS NULL OR i.user_id = ?1) ORDER BY i.invite_id DESC LIMIT ?2",
            bind: {
                if let user { $0.bind(1, user.rawValue) } else { $0.bindNull(1) }
                $0.bind(2, limit)
            }, Reader.invite)
    }

    package func openInvites(of user: UserID, at now: Timestamp) throws -> Int {
        try rows(
            "SELECT count(*) FROM invites WHERE user_id = ? AND state = 0 AND expires_ms > ?",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, now.milliseconds)
            }
        ) { Int($0.integer(0)) }.first ?? 0
    }

    package func counts(at now: Timestamp) throws -> Counts {
        try rows(
            """
            SELECT (SELECT count(*) FROM users WHERE removed = 0), (SELECT count(*) FROM devices WHERE revoked = 0),
                (SELECT count(*) FROM invites WHERE state = 0 AND expires_ms > ?)
            """, bind: { $0.bind(1, now.milliseconds) }
        ) { Counts(users: Int($0.integer(0)), devices: Int($0.integer(1)), openInvites: Int($0.integer(2))) }.first
            ?? Counts(users: 0, devices: 0, openInvites: 0)
    }
}
