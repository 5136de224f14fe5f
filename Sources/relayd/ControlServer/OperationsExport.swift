import FoundationEssentials
import NIOCore
import RelayControl
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage

// One user: what there is about them, on a page and in full.
extension Operations {
    func userShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(UserShow.self, body, subject: \.user) { request in
            let details = try await directory.user(named: request.user)
            var record = UserRecord(details, sending)
            record.lastSeenAt = lastSeen(of: details.user)
            record.relations = UserRelations(try await directory.relationCounts(of: details.user.id))
            return record
        }
    }

    func userExport(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(UserExport.self, body, subject: \.user) { request in
            var reply = UserExport.Reply(at: clock.now())
            guard request.section != .user else {
                let user = try await directory.userRow(named: request.user)
                try await directory.audit(try actor(caller, .userExport, request.user, request.reason))
                note(.userExport, caller)
                reply.user = ExportedUser(user)
                reply.user?.lastSeenAt = lastSeen(of: user)
                return reply
            }
            guard let id = request.id else {
                throw ControlError(.badRequest, "the field “id” is missing", hint: "the section “user” gives it, and comes first")
            }
            try await fill(&reply, request.section, of: try await directory.userRow(named: request.user, id: id), after: request.after)
            return reply
        }
    }

    private func fill(_ reply: inout UserExport.Reply, _ section: ExportSection, of user: UserRow, after: String?) async throws {
        let limit = Limits.pageSizeCeiling
        /// Where the next page begins, behind a page that is full.
        func next<Row>(_ rows: [Row], _ place: (Row) -> String) -> String? { rows.count == limit ? rows.last.map(place) : nil }
        let single = section == .chats || section == .messages ? nil : try after.map { text throws(ControlError) in try Cursor.single(text) }
        let pair = section == .chats || section == .messages ? try after.map { text throws(ControlError) in try Cursor.pair(text) } : nil
        let place = pair.map { ChatPosition(chat: ChatID($0.0), seq: $0.1) }
        switch section {
        case .user: break
        case .devices:
            let rows = try await directory.exportedDevices(of: user.id, after: single.map { DeviceID($0) }, limit: limit)
            var devices: [ExportedDevice] = []
            for row in rows {
                devices.append(
                    ExportedDevice(row, oneTime: row.device.revoked ? nil : try await directory.oneTimePrekeys(of: row.device.id)))
            }
            reply.devices = devices
            reply.next = next(rows) { $0.device.id.description }
        case .invites:
            let rows = try await directory.exportedInvites(of: user, after: single.map { InviteID($0) }, limit: limit)
            let now = clock.now()
            reply.invites = rows.map { row in
                let record = InviteRecord(row, now: now)
                return ExportedInvite(id: record.id, state: record.state, createdAt: record.createdAt, expiresAt: record.expiresAt)
            }
            reply.next = next(rows) { $0.id.description }
        case .contacts:
            let rows = try await directory.exportedContacts(of: user.id, after: single.map { UserID($0) }, limit: limit)
            reply.contacts = rows.map { ExportedContact($0) }
            reply.next = next(rows) { $0.contact.peer.description }
        case .chats:
            let rows = try await directory.exportedStays(of: user.id, after: place, limit: limit)
            reply.chats = rows.map { ExportedChat($0) }
            reply.next = next(rows) { Cursor.text($0.chat.rawValue, $0.joinedSeq) }
        case .receipts:
            let rows = try await directory.exportedReceipts(of: user.id, after: single.map { ChatID($0) }, limit: limit)
            reply.receipts = rows.map { row in
                ExportedReceipt(
                    chat: row.chat, deliveredSeq: row.deliveredSeq, readSeq: row.readSeq, changedAt: Stamp(rawValue: row.version).time)
            }
            reply.next = next(rows) { $0.chat.description }
        case .messages:
            let page = try await directory.exportedMessages(of: user.id, after: place, limit: limit)
            reply.messages = page.rows.map { ExportedMessage($0, of: user.id) }
            reply.next = page.next.map { Cursor.text($0.chat.rawValue, $0.seq) }
        case .audit:
            let rows = try await directory.exportedAudit(about: user, after: single ?? 0, limit: limit)
            reply.audit = rows.map { AuditRecord($0.row) }
            reply.next = next(rows) { "\($0.stamp)" }
        }
    }
}

extension ExportedUser {
    init(_ row: UserRow) {
        self.init(
            id: row.id, name: row.name.text, displayName: row.displayName, avatar: row.avatar, createdAt: row.createdAt,
            suspendedAt: row.suspension?.since, suspendedReason: row.suspension?.reason, noLimits: row.noLimits,
            eraseAt: row.eraseAt, retentionClass: row.retentionClass, sharesStatus: row.sharing.status,
            sharesLastSeen: row.sharing.lastSeen, lastSeenAt: row.lastSeen)
    }
}

extension ExportedDevice {
    init(_ row: KeyRow, oneTime: [OneTimePrekey]?) {
        let device = row.device
        func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
        self.init(
            id: device.id, name: device.name.isEmpty ? nil : device.name, enrolledAt: device.createdAt, revoked: device.revoked,
            identityKey: base64(device.keys.identityKey), agreementKey: base64(device.keys.agreementKey),
            agreementSignature: base64(device.keys.agreementSignature), cursor: device.cursor == 0 ? nil : MessageID(device.cursor),
            clientMessageID: device.revoked ? nil : row.clientMessageID,
            agreementVersion: row.state.map { Int($0.agreementVersion) },
            prekeys: device.revoked
                ? nil
                : row.keys.filter { $0.kind != .agreement || $0.expires != nil }.map { key in
                    ExportedKey(
                        kind: ReplacedKeyRecord.Kind(key.kind).rawValue, id: key.key.id, key: base64(key.key.key),
                        signature: base64(key.key.signature),
                        since: key.since, validUntil: key.expires)
                }, oneTimePrekeys: oneTime?.map { ExportedKey(kind: "one-time", id: $0.id, key: base64($0.key)) })
    }
}

extension ExportedContact {
    init(_ row: ExportedContactRow) {
        self.init(
            peerID: row.contact.peer, peer: row.peerName?.text, state: ContactStanding(row.contact.state),
            category: row.contact.category.isEmpty ? nil : row.contact.category, changedAt: Stamp(rawValue: row.contact.version).time)
    }
}

extension ExportedChat {
    init(_ row: StayRow) {
        let kind: Kind =
            switch row.kind {
            case .direct: .direct
            case .group: .group
            case .notes: .notes
            }
        let role =
            switch row.role {
            case .member: "member"
            case .admin: "admin"
            case .owner: "owner"
            }
        self.init(
            chat: row.chat, kind: kind, peerID: row.peer, role: kind == .group ? role : nil, members: row.leftSeq == nil ? row.memberCount : nil,
            joinedSeq: row.joinedSeq, joinedAt: row.joinedAt, leftSeq: row.leftSeq, leftAt: row.leftAt)
    }
}

extension ExportedMessage {
    init(_ row: MessageRow, of user: UserID) {
        let kind: Kind =
            switch row.kind {
            case .message: .message
            case .change: .change
            case .deletion: .deletion
            case .deleted: .deleted
            }
        self.init(
            message: row.message, chat: row.chat, chatSeq: row.seq, kind: kind, sentAt: row.message.time, senderUser: row.senderUser,
            senderDevice: row.senderDevice.rawValue == 0 ? nil : row.senderDevice,
            clientMessageID: row.senderUser == user && row.senderDevice.rawValue != 0 ? row.clientMessageID : nil, bytes: row.bytes,
            hidden: row.hidden)
    }
}
