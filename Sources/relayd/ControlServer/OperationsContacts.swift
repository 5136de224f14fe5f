import NIOCore
import RelayControl
import RelayDirectory
import RelayModel
import RelayStorage

// Contacts and blocks.
extension Operations {
    func contactList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(ContactList.self, body, subject: \.user) { request in
            let limit = try limit(request.limit, default: Limits.pageSizeCeiling)
            let user = try await directory.userRow(named: request.user)
            let rows = try await directory.relations(of: user.id, state: request.state?.state, after: request.after, limit: limit)
            let contacts = rows.compactMap { row in
                ContactStanding(row.edge.view(tellsBlocked: true)).map {
                    ContactRecord(user: user.name.text, peer: row.peerName.text, peerID: row.peer, state: $0, since: row.since)
                }
            }
            return ContactList.Reply(contacts: contacts, next: rows.count == limit ? rows.last?.peer : nil)
        }
    }

    func contactAdd(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(ContactAdd.self, body, subject: \.user) { request in
            let (user, peer) = try await pair(request.user, request.peer)
            let actor = try actor(caller, .contactAdd, user, peer, request.reason)
            let changed: Bool
            do throws(DirectoryError) {
                changed = try await directory.introduce(user.id, to: peer.id, actor: actor)
            } catch {
                throw Self.refusal(error, user.name.text, peer.name.text)
            }
            note(.contactAdd, caller)
            return ContactAdd.Reply(user: user.name.text, peer: peer.name.text, changed: changed)
        }
    }

    /// Says which of the two stands in the way.
    private static func refusal(_ error: DirectoryError, _ user: String, _ peer: String) -> ControlError {
        func blocked(_ blocker: String, _ other: String) -> ControlError {
            ControlError(
                .notPermitted, "\(blocker) blocks \(other)",
                hint: "that is for \(blocker) to decide; on their behalf: chatctl block remove \(blocker) \(other) --reason TEXT")
        }
        switch error {
        case .rejected(.contact(.youBlock)): return blocked(user, peer)
        case .rejected(.contact(.theyBlock)): return blocked(peer, user)
        case .rejected(.contactLimitReached(let limit)):
            return ControlError(
                .limitReached, "\(user) or \(peer) has \(limit) contacts, which is the limit",
                hint: "chatctl user show \(user); chatctl user show \(peer)")
        default: return ControlError(error, subject: user)
        }
    }

    // MARK: Blocks

    func blockList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(BlockList.self, body, subject: { $0.user ?? "" }) { request in
            let limit = try limit(request.limit, default: Limits.pageSizeCeiling)
            var start = BlockPosition.start
            if let after = request.after {
                let (user, peer) = try Cursor.pair(after)
                start = BlockPosition(user: UserID(user), peer: UserID(peer))
            }
            var user: UserID?
            if let name = request.user { user = try await directory.userRow(named: name).id }
            let page = try await directory.blocks(of: user, after: start, limit: limit)
            return BlockList.Reply(
                blocks: page.rows.map { BlockRecord(user: $0.user.text, peer: $0.peer.text, since: $0.since) },
                next: page.next.map { Cursor.text($0.user.rawValue, $0.peer.rawValue) })
        }
    }

    func blockAdd(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(BlockAdd.self, body, subject: \.user) { request in
            let dryRun = request.dryRun ?? false
            let (user, peer) = try await pair(request.user, request.peer)
            let actor = try actor(caller, .blockAdd, user, peer, request.reason)
            let (changed, groups) =
                dryRun
                ? try await directory.planBlock(of: peer.id, for: user.id)
                : try await directory.block(peer.id, for: user.id, actor: actor)
            if !dryRun { note(.blockAdd, caller) }
            return BlockAdd.Reply(user: user.name.text, peer: peer.name.text, dryRun: dryRun, changed: changed, groupsLeft: groups)
        }
    }

    func blockRemove(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(BlockRemove.self, body, subject: \.user) { request in
            let (user, peer) = try await pair(request.user, request.peer)
            let actor = try actor(caller, .blockRemove, user, peer, request.reason)
            guard try await directory.unblock(peer.id, for: user.id, actor: actor) else {
                throw ControlError(
                    .notFound, "\(user.name.text) does not block \(peer.name.text)", hint: "chatctl block list --user \(user.name.text)")
            }
            note(.blockRemove, caller)
            let edge = try await directory.relation(of: user.id, with: peer.id)
            return BlockRemove.Reply(user: user.name.text, peer: peer.name.text, state: ContactStanding(edge.view(tellsBlocked: true)))
        }
    }

    func blockAudit(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(BlockAudit.self, body) { request in
            let limit = try limit(request.limit, default: 100)
            return BlockAudit.Reply(entries: try await directory.auditOfContacts(limit: limit).map { AuditRecord($0) })
        }
    }

    // MARK: Fields

    /// Two users; an error is about the one who is not there.
    private func pair(_ user: String, _ peer: String) async throws -> (UserRow, UserRow) {
        let user = try await directory.userRow(named: user)
        do throws(DirectoryError) {
            return (user, try await directory.userRow(named: peer))
        } catch {
            throw ControlError(error, subject: peer)
        }
    }

    /// An act about two users is one of both in the audit log: their names with a space between, which no name has.
    private func actor(
        _ caller: PeerCredentials, _ name: ControlOperationName, _ user: UserRow, _ peer: UserRow, _ reason: String
    ) throws(ControlError) -> Actor {
        guard reason.contains(where: { !$0.isWhitespace }) else {
            throw ControlError(.badRequest, "the reason is empty", hint: "say why, for the audit log: --reason TEXT")
        }
        return try actor(caller, name, "\(user.name.text) \(peer.name.text)", reason)
    }
}

/// Where a list in two orders goes on, as a client passes it back: two numbers with a colon between.
enum Cursor {
    static func text(_ first: UInt64, _ second: UInt64) -> String { "\(first):\(second)" }

    static func pair(_ text: String) throws(ControlError) -> (UInt64, UInt64) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = number(parts[0]), let second = number(parts[1]) else { throw wrong(text) }
        return (first, second)
    }

    static func single(_ text: String) throws(ControlError) -> UInt64 {
        guard let value = number(text[...]) else { throw wrong(text) }
        return value
    }

    /// What the store can compare: 63 bits.
    private static func number(_ text: Substring) -> UInt64? { UInt64(text).flatMap { $0 <= UInt64(Int64.max) ? $0 : nil } }

    private static func wrong(_ text: String) -> ControlError {
        ControlError(.badRequest, "the field “after” is not a place in this list: “\(text)”", hint: "pass the field “next” of the page before")
    }
}

extension ContactStanding {
    /// Nil for two who have nothing to do with each other.
    init?(_ state: ContactState) {
        switch state {
        case .none: return nil
        case .requested: self = .requested
        case .incoming: self = .incoming
        case .accepted: self = .accepted
        case .ignored: self = .ignored
        case .blockedByMe: self = .blocks
        case .blockedByThem: self = .blocked
        case .blockedByBoth: self = .mutual
        }
    }

    var state: ContactState {
        switch self {
        case .requested: .requested
        case .incoming: .incoming
        case .accepted: .accepted
        case .ignored: .ignored
        case .blocks: .blockedByMe
        case .blocked: .blockedByThem
        case .mutual: .blockedByBoth
        }
    }
}

extension UserRelations {
    init(_ counts: (edges: [ContactEdge: Int], groups: Int)) {
        self.init(accepted: 0, requested: 0, incoming: 0, ignored: 0, blocks: 0, blockedBy: 0, groups: counts.groups)
        for (edge, count) in counts.edges {
            if edge.blocks { blocks += count }
            if edge.isBlocked { blockedBy += count }
            switch edge.view(tellsBlocked: true) {
            case .accepted: accepted += count
            case .requested: requested += count
            case .incoming: incoming += count
            case .ignored: ignored += count
            case .none, .blockedByMe, .blockedByThem, .blockedByBoth: break
            }
        }
    }
}
