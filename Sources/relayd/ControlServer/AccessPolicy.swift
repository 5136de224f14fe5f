import Glibc
import RelayControl

/// Who may do what: root, the service's own user and the members of one group everything, the members of another group reading.
package struct AccessPolicy: Sendable {
    package var adminGroup: String
    package var viewGroup: String
    package var ownUID: UInt32

    package init(adminGroup: String, viewGroup: String, ownUID: UInt32 = geteuid()) {
        self.adminGroup = adminGroup
        self.viewGroup = viewGroup
        self.ownUID = ownUID
    }

    /// Nil: nothing at all. Asks the system's user database, which may block: call it on a thread that may wait.
    package func access(of peer: PeerCredentials) -> ControlAccess? {
        if peer.uid == 0 || peer.uid == ownUID { return .admin }
        let groups = UserDatabase.groups(of: peer)
        if let admin = UserDatabase.group(named: adminGroup), groups.contains(admin) { return .admin }
        if let view = UserDatabase.group(named: viewGroup), groups.contains(view) { return .view }
        return nil
    }
}

/// passwd(5) and group(5), through whatever name service the host uses.
private enum UserDatabase {
    /// Room for one entry; groups of thousands of members exist, larger ones count as unknown.
    private static let entryBytes = 1 << 20
    /// Linux allows a process so many (`NGROUPS_MAX`).
    private static let groupCeiling: Int32 = 65_536

    static func group(named name: String) -> gid_t? {
        withEntryRoom { room, size in
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            let status = getgrnam_r(name, &entry, room, size, &found)
            if status == ERANGE { return nil }
            return .some(status == 0 && found != nil ? entry.gr_gid : nil)
        }
    }

    /// The group the peer runs in and those that the database gives its user now, so that joining a group needs no new login.
    static func groups(of peer: PeerCredentials) -> Set<gid_t> {
        let listed: [gid_t]? = withEntryRoom { room, size in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            let status = getpwuid_r(peer.uid, &entry, room, size, &found)
            if status == ERANGE { return nil }
            guard status == 0, found != nil, let name = entry.pw_name else { return .some(nil) }
            return .some(memberships(name, entry.pw_gid))
        }
        return Set(listed ?? []).union([peer.gid])
    }

    private static func memberships(_ name: UnsafePointer<CChar>, _ primary: gid_t) -> [gid_t] {
        var room: Int32 = 64
        while room <= groupCeiling {
            var count = room
            var groups = [gid_t](repeating: 0, count: Int(room))
            if getgrouplist(name, primary, &groups, &count) >= 0 { return Array(groups.prefix(Int(max(0, count)))) }
            room *= 4
        }
        return [primary]
    }

    /// Calls `body` with more and more room until it gives something else than nil (which says that the room was too small).
    private static func withEntryRoom<Found>(_ body: (UnsafeMutablePointer<CChar>, Int) -> Found??) -> Found? {
        var size = 4096
        while size <= entryBytes {
            let result = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { room -> Found?? in
                guard let start = room.baseAddress else { return nil }
                return body(start, size)
            }
            if let result { return result }
            size *= 4
        }
        return nil
    }
}
