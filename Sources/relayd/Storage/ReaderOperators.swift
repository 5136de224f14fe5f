import RelayModel
import RelaySQLite

/// How a user stands to another one, whatever the two are told of it.
package struct RelationRow: Sendable {
    package var peer: UserID
    package var peerName: UserName
    package var edge: ContactEdge
    /// When one of the two last decided something about the other; nil when that is not known.
    package var since: Timestamp?
}

/// Somebody who blocks somebody.
package struct BlockRow: Sendable {
    package var user: UserName
    package var peer: UserName
    package var since: Timestamp?
}

/// A page of blocks.
package struct BlocksPage: Sendable {
    package var rows: [BlockRow]
    /// Behind whom the next page begins; nil at the end. There may be a next page behind one without rows.
    package var next: BlockPosition?
}

/// A place in the list of everybody's blocks.
package struct BlockPosition: Sendable, Equatable {
    package var user: UserID
    package var peer: UserID
    package init(user: UserID, peer: UserID) {
        self.user = user
        self.peer = peer
    }
    /// Before all.
    package static let start = BlockPosition(user: UserID(0), peer: UserID(0))
}

/// A device with its keys, also a revoked one.
package struct KeyRow: Sendable {
    package var device: DeviceRow
    /// Nil when the user was removed.
    package var userName: UserName?
    /// The highest number that the device gave a message.
    package var clientMessageID: UInt64
    /// What there is of an active device's keys; nil for a revoked one.
    package var state: DeviceKeysState?
    /// An active device's keys: ``Reader/keys(of:at:)``.
    package var keys: [DeviceKeyRow] = []
}

// What operators look at: contacts and blocks as they are, keys, audit entries of one kind.
extension Reader {
    // MARK: Health

    /// True when the store answers.
    package func answers() throws -> Bool { try rows("SELECT 1 FROM meta LIMIT 1") { $0.integer(0) == 1 }.allSatisfy(\.self) }

    // MARK: Contacts

    /// A user's contacts and blocks in the order of the others' identifiers.
    ///
    /// - Parameter state: only those that are so, as the user would be told if all were told.
    package func relations(of user: UserID, state: ContactState?, after peer: UserID?, limit: Int) throws -> [RelationRow] {
        let edges = Reader.edges.filter { state == nil ? $0 != ContactEdge() : $0.view(tellsBlocked: true) == state }
        guard !edges.isEmpty else { return [] }
        // Numbers that this program made, at most as many lists as there are states.
        let codes = edges.map { String(Reader.code($0)) }.joined(separator: ", ")
        return try rows(
            """
            SELECT c.peer_id, u.name, c.relation, c.blocks, c.is_blocked, max(c.decided, coalesce(o.decided, 0)), c.version
            FROM contacts c JOIN users u ON u.user_id = c.peer_id
                LEFT JOIN contacts o ON o.user_id = c.peer_id AND o.peer_id = c.user_id
            WHERE c.user_id = ?1 AND c.peer_id > ?2 AND c.relation * 4 + c.blocks * 2 + c.is_blocked IN (\(codes))
            ORDER BY c.peer_id LIMIT ?3
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, peer?.rawValue ?? 0)
                $0.bind(3, limit)
            }
        ) { row in
            RelationRow(
                peer: UserID(row.unsigned(0)), peerName: UserName(checked: row.text(1) ?? ""), edge: Reader.edge(row, from: 2),
                since: Reader.time(row.unsigned(5), else: row.unsigned(6)))
        }
    }

    /// How one user stands to another.
    package func relation(of user: UserID, with peer: UserID) throws -> ContactEdge {
        try rows(
            "SELECT relation, blocks, is_blocked FROM contacts WHERE user_id = ? AND peer_id = ?",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, peer.rawValue)
            }
        ) { Reader.edge($0, from: 0) }.first ?? ContactEdge()
    }

    /// How many others a user stands to in each way; the ways that do not occur are absent.
    package func relationCounts(of user: UserID) throws -> [ContactEdge: Int] {
        let found: [(ContactEdge, Int)] = try rows(
            "SELECT relation, blocks, is_blocked, count(*) FROM contacts WHERE user_id = ? GROUP BY relation, blocks, is_blocked",
            bind: { $0.bind(1, user.rawValue) }
        ) { (Reader.edge($0, from: 0), Int($0.integer(3))) }
        return Dictionary(found, uniquingKeysWith: +)
    }

    private static let edges = ContactEdge.Relation.allCases.flatMap { relation in
        [(false, false), (false, true), (true, false), (true, true)].map { ContactEdge(relation: relation, blocks: $0.0, isBlocked: $0.1) }
    }

    private static func code(_ edge: ContactEdge) -> Int {
        Int(edge.relation.rawValue) * 4 + (edge.blocks ? 2 : 0) + (edge.isBlocked ? 1 : 0)
    }

    static func edge(_ row: Statement, from column: Int32) -> ContactEdge {
        ContactEdge(
            relation: ContactEdge.Relation(rawValue: UInt8(truncatingIfNeeded: row.integer(column))) ?? .none, blocks: row.integer(column + 1) != 0,
            isBlocked: row.integer(column + 2) != 0)
    }

    /// The time of a stamp, or of another one where there is none.
    private static func time(_ stamp: UInt64, else other: UInt64) -> Timestamp? {
        let known = stamp == 0 ? other : stamp
        return known == 0 ? nil : Stamp(rawValue: known).time
    }

    // MARK: Blocks

    /// Who blocks whom, of one user or of all, in the order of their identifiers.
    ///
    /// - Parameter scan: looks at no more contacts than this.
    package func blocks(
        of user: UserID?, after start: BlockPosition, limit: Int, scan scanned: Int = Limits.blockScanRows
    ) throws -> BlocksPage {
        try snapshot {
            // Said in two ways, so that of one user's no other rows are looked at.
            let place = user == nil ? "(user_id, peer_id) > (?1, ?2)" : "user_id = ?1 AND peer_id > ?2"
            let scan = try statement(
                """
                SELECT user_id, peer_id, blocks, decided, version FROM contacts WHERE \(place)
                ORDER BY user_id, peer_id LIMIT ?3
                """)
            defer { scan.reset() }
            scan.bind(1, (user ?? start.user).rawValue)
            scan.bind(2, start.peer.rawValue)
            scan.bind(3, scanned)
            var page = BlocksPage(rows: [], next: nil)
            var seen = 0
            while page.rows.count < limit, try scan.step() {
                seen += 1
                let place = BlockPosition(user: UserID(scan.unsigned(0)), peer: UserID(scan.unsigned(1)))
                page.next = place
                guard scan.integer(2) != 0 else { continue }
                let since = Reader.time(scan.unsigned(3), else: scan.unsigned(4))
                guard let user = try self.user(place.user), let peer = try self.user(place.peer) else { continue }
                page.rows.append(BlockRow(user: user.name, peer: peer.name, since: since))
            }
            if page.rows.count < limit, seen < scanned { page.next = nil }
            return page
        }
    }

    // MARK: Groups

    /// Groups that a user is in.
    package func groupCount(of user: UserID) throws -> Int {
        try rows(
            "SELECT count(*) FROM members s JOIN chats c USING (chat_id) WHERE s.user_id = ? AND s.left_seq IS NULL AND c.kind = 1",
            bind: { $0.bind(1, user.rawValue) }
        ) { Int($0.integer(0)) }.first ?? 0
    }

    /// Groups that two users are in.
    package func sharedGroupCount(of user: UserID, and peer: UserID) throws -> Int {
        try rows(
            """
            SELECT count(*) FROM members s JOIN chats c USING (chat_id) JOIN members o ON o.chat_id = s.chat_id AND o.user_id = ?2 AND o.left_seq IS NULL
            WHERE s.user_id = ?1 AND s.left_seq IS NULL AND c.kind = 1
            """,
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, peer.rawValue)
            }
        ) { Int($0.integer(0)) }.first ?? 0
    }

    // MARK: Keys

    /// Devices with their keys in the order in which they were enrolled.
    ///
    /// - Parameter now: which replaced keys are still valid.
    package func keys(of user: UserID?, after device: DeviceID?, activeOnly: Bool, limit: Int, at now: Timestamp) throws -> [KeyRow] {
        let one = user == nil ? "" : " AND d.user_id = ?3"
        let active = activeOnly ? " AND d.revoked = 0" : ""
        return try keyRows("d.device_id > ?1\(one)\(active) ORDER BY d.device_id LIMIT ?2", at: now) {
            $0.bind(1, device?.rawValue ?? 0)
            $0.bind(2, limit)
            if let user { $0.bind(3, user.rawValue) }
        }
    }

    /// A device with its keys, also a revoked one.
    package func keyRow(of device: DeviceID, at now: Timestamp) throws -> KeyRow? {
        try keyRows("d.device_id = ?1", at: now) { $0.bind(1, device.rawValue) }.first
    }

    private func keyRows(_ condition: String, at now: Timestamp, bind: (Statement) -> Void) throws -> [KeyRow] {
        try snapshot {
            let found: [(DeviceID, UserName?, UInt64)] = try rows(
                """
                SELECT d.device_id, u.name, coalesce(p.client_message_id, 0)
                FROM devices d LEFT JOIN progress p USING (device_id) LEFT JOIN users u ON u.user_id = d.user_id WHERE \(condition)
                """, bind: bind
            ) { (DeviceID($0.unsigned(0)), $0.text(1).map { UserName(checked: $0) }, $0.unsigned(2)) }
            return try found.compactMap { id, userName, clientMessageID in
                try anyDevice(id).map {
                    KeyRow(
                        device: $0, userName: userName, clientMessageID: clientMessageID, state: try keysState(of: id),
                        keys: try keys(of: id, at: now))
                }
            }
        }
    }

    // MARK: Audit

    /// What operators did about blocks and contacts, newest first.
    package func auditOfContacts(limit: Int) throws -> [AuditRow] {
        try rows(
            """
            SELECT \(Self.auditColumns) FROM audit WHERE result = '\(Actor.done)' AND (operation LIKE 'block/%' OR operation LIKE 'contact/%')
            ORDER BY stamp DESC LIMIT ?
            """, bind: { $0.bind(1, limit) }, Reader.auditRow)
    }

    /// What operators did about keys, newest first.
    package func auditOfKeys(limit: Int) throws -> [AuditRow] {
        try rows(
            "SELECT \(Self.auditColumns) FROM audit WHERE result = '\(Actor.done)' AND operation LIKE 'key/%' ORDER BY stamp DESC LIMIT ?",
            bind: { $0.bind(1, limit) }, Reader.auditRow)
    }
}
