import NIOCore
import RelayModel
import RelaySQLite

/// A page of a user's mailbox.
package struct MailboxPage: Sendable {
    package var envelopes: [StoredEnvelope]
    /// Large groups whose members fetch instead of being pushed to, with their newest sequence, where there is anything new.
    package var announced: [ChatPosition]
    /// The mailbox has no more, as of the moment when it was read.
    package var complete: Bool
    package init(envelopes: [StoredEnvelope], announced: [ChatPosition] = [], complete: Bool) {
        self.envelopes = envelopes
        self.announced = announced
        self.complete = complete
    }
}

// Mailboxes and histories. A mailbox is the merge of the chats that a user is or was in, in the order of the message ids.
extension Reader {
    /// One stay of a user in a chat.
    struct Stay {
        var chat: ChatID
        var kind: ChatKind
        var memberCount: Int
        var joinedSeq: UInt64
        /// The last sequence that the user may see; `Int64.max` while the stay goes on.
        var leftSeq: UInt64
        var leftID: UInt64
        var isActive: Bool
        var floorSeq: UInt64
        var floorID: UInt64

        /// The first sequence that the user may see and that is still there.
        var first: UInt64 { max(joinedSeq, floorSeq + 1) }
        /// Something that the user could see has expired.
        var hasGap: Bool { joinedSeq <= floorSeq }
        var gapSeq: UInt64 { min(floorSeq, leftSeq) }
        var gapID: UInt64 { min(floorID, leftID) }
    }

    private static let stayColumns =
        """
        SELECT s.chat_id, c.kind, c.member_count, s.joined_seq, s.left_seq, s.left_id, c.floor_seq, c.floor_id
        FROM members s JOIN chats c USING (chat_id) WHERE s.user_id = ?1
        """

    private static func stay(_ row: Statement) -> Stay {
        let forever = UInt64(Int64.max)
        let isActive = row.isNull(4)
        return Stay(
            chat: ChatID(row.unsigned(0)), kind: ChatKind(rawValue: UInt8(truncatingIfNeeded: row.integer(1))) ?? .direct,
            memberCount: Int(row.integer(2)), joinedSeq: row.unsigned(3), leftSeq: isActive ? forever : row.unsigned(4),
            leftID: isActive ? forever : row.unsigned(5), isActive: isActive, floorSeq: row.unsigned(6), floorID: row.unsigned(7))
    }

    /// Those that a reader behind `cursor` may find something in.
    private func stays(of user: UserID, behind cursor: UInt64) throws -> [Stay] {
        try rows(
            Reader.stayColumns + " AND (s.left_id IS NULL OR s.left_id > ?2)",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, cursor)
            }, Reader.stay)
    }

    /// In the order of their beginnings; empty when the user was never in the chat.
    func stays(of user: UserID, in chat: ChatID) throws -> [Stay] {
        try rows(
            Reader.stayColumns + " AND s.chat_id = ?2 ORDER BY s.joined_seq",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, chat.rawValue)
            }, Reader.stay)
    }

    /// Every stay, whether it goes on or not.
    func allStays(of user: UserID) throws -> [Stay] { try stays(of: user, behind: 0) }

    // MARK: Mailbox

    /// A user's envelopes behind `cursor`, in order, up to `limit` and about `bytes` of bodies (at least one).
    ///
    /// - Parameter pushMembers: larger groups are announced.
    package func mailbox(of user: UserID, after cursor: UInt64, limit: Int, bytes: Int, pushMembers: Int = Limits.chatMembers) throws -> MailboxPage {
        try snapshot {
            var announced: [ChatPosition] = []
            var places: [Place] = []
            for stay in try stays(of: user, behind: cursor) {
                guard let last = try newest(stay) else {
                    if stay.hasGap, stay.gapID > cursor { places.append(Place(id: stay.gapID, stay: stay, seq: stay.gapSeq, gone: true)) }
                    continue
                }
                if stay.kind == .group, stay.memberCount > pushMembers {
                    if last.id > cursor { announced.append(ChatPosition(chat: stay.chat, seq: last.seq)) }
                    continue
                }
                if stay.hasGap, stay.gapID > cursor { places.append(Place(id: stay.gapID, stay: stay, seq: stay.gapSeq, gone: true)) }
                guard last.id > cursor else { continue }
                try collect(stay, behind: cursor, last: last, limit: limit, into: &places)
            }
            places.sort { ($0.id, $0.seq) < ($1.id, $1.seq) }
            let wanted = places.prefix(limit)
            let hidden = try hidden(from: user, in: wanted)
            var envelopes: [StoredEnvelope] = []
            envelopes.reserveCapacity(wanted.count)
            var room = bytes
            for place in wanted {
                guard room > 0 else { break }
                guard let envelope = try envelope(place, for: user, hidden) else { continue }
                room -= envelope.body.readableBytes
                envelopes.append(envelope)
            }
            return MailboxPage(envelopes: envelopes, announced: announced, complete: envelopes.count == places.count)
        }
    }

    /// Something that has a place in the mailbox.
    private struct Place {
        /// A message id.
        var id: UInt64
        var stay: Stay
        var seq: UInt64
        var gone = false
    }

    /// How many envelopes each stay has behind a cursor.
    func counts(of user: UserID, behind cursor: UInt64) throws -> [Int] {
        try stays(of: user, behind: cursor).map { stay in
            guard let last = try newest(stay), last.id > cursor else { return 0 }
            return Int(last.seq - (try firstSeq(of: stay, behind: cursor, last: last.seq))) + 1
        }
    }

    private func newest(_ stay: Stay) throws -> (seq: UInt64, id: UInt64)? {
        try rows(
            "SELECT seq, message_id FROM messages WHERE chat_id = ? AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT 1",
            bind: {
                $0.bind(1, stay.chat.rawValue)
                $0.bind(2, stay.joinedSeq)
                $0.bind(3, stay.leftSeq)
            }
        ) { ($0.unsigned(0), $0.unsigned(1)) }.first
    }

    /// Of the newest message of a stay, or of the marker for what has expired.
    func newestPlace(_ stay: Stay) throws -> UInt64? { try newest(stay)?.id ?? (stay.hasGap ? stay.gapID : nil) }

    /// Adds the stay's places behind the cursor; never more than are needed to know the first `limit` of all, and whether there are more.
    private func collect(_ stay: Stay, behind cursor: UInt64, last: (seq: UInt64, id: UInt64), limit: Int, into places: inout [Place]) throws {
        let first = try firstSeq(of: stay, behind: cursor, last: last.seq)
        // When there is a page already, what is newer than its last is not needed.
        var bound = UInt64.max
        if places.count > limit {
            places.sort { $0.id < $1.id }
            places.removeLast(places.count - limit - 1)
            bound = places[limit].id
        }
        _ = try rows(
            "SELECT seq, message_id FROM messages WHERE chat_id = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            bind: {
                $0.bind(1, stay.chat.rawValue)
                $0.bind(2, first)
                $0.bind(3, last.seq)
            }, upTo: limit + 1
        ) { row -> Void? in
            guard row.unsigned(1) < bound else { return nil }
            places.append(Place(id: row.unsigned(1), stay: stay, seq: row.unsigned(0)))
            return ()
        }
    }

    /// The lowest sequence whose message id is above the cursor; there is one. Looks from the end in growing steps, then by halving: most
    /// devices have missed little.
    private func firstSeq(of stay: Stay, behind cursor: UInt64, last: UInt64) throws -> UInt64 {
        var high = last
        var step = UInt64(1)
        var low = stay.first
        while high > low {
            let probe = high - low > step ? high - step : low
            if try id(of: probe, in: stay.chat) ?? 0 > cursor {
                high = probe
                step *= 2
            } else {
                low = probe + 1
                break
            }
        }
        while low < high {
            let middle = low + (high - low) / 2
            if try id(of: middle, in: stay.chat) ?? 0 > cursor { high = middle } else { low = middle + 1 }
        }
        return high
    }

    private func id(of seq: UInt64, in chat: ChatID) throws -> UInt64? {
        try rows(
            "SELECT message_id FROM messages WHERE chat_id = ? AND seq = ?",
            bind: {
                $0.bind(1, chat.rawValue)
                $0.bind(2, seq)
            }
        ) { $0.unsigned(0) }.first
    }

    private func hidden(from user: UserID, in places: ArraySlice<Place>) throws -> Set<ChatPosition> {
        var ranges: [ChatID: ClosedRange<UInt64>] = [:]
        for place in places where !place.gone {
            let known = ranges[place.stay.chat]
            ranges[place.stay.chat] = min(known?.lowerBound ?? place.seq, place.seq)...max(known?.upperBound ?? place.seq, place.seq)
        }
        var found: Set<ChatPosition> = []
        for (chat, range) in ranges { found.formUnion(try hidden(from: user, in: chat, range)) }
        return found
    }

    private func hidden(from user: UserID, in chat: ChatID, _ range: ClosedRange<UInt64>) throws -> [ChatPosition] {
        try rows(
            "SELECT seq FROM hidden WHERE user_id = ? AND chat_id = ? AND seq BETWEEN ? AND ?",
            bind: {
                $0.bind(1, user.rawValue)
                $0.bind(2, chat.rawValue)
                $0.bind(3, range.lowerBound)
                $0.bind(4, range.upperBound)
            }
        ) { ChatPosition(chat: chat, seq: $0.unsigned(0)) }
    }

    // MARK: Envelopes

    private static let envelopeColumns =
        "SELECT chat_id, seq, message_id, kind, user_id, device_id, client_message_id, extra, keys, body FROM messages WHERE chat_id = ?1"

    private func envelope(_ place: Place, for user: UserID, _ hidden: Set<ChatPosition>) throws -> StoredEnvelope? {
        if place.gone { return Reader.gap(place.stay) }
        var envelope = try rows(
            Reader.envelopeColumns + " AND seq = ?2",
            bind: {
                $0.bind(1, place.stay.chat.rawValue)
                $0.bind(2, place.seq)
            }
        ) { Reader.envelope($0, for: user) }.first
        if hidden.contains(ChatPosition(chat: place.stay.chat, seq: place.seq)) { envelope?.hide() }
        try envelope.map { try fetchKeys(of: &envelope, $0, place.stay.kind, user) }
        return envelope
    }

    /// The keys of a large group are in rows of their own.
    private func fetchKeys(of target: inout StoredEnvelope?, _ envelope: StoredEnvelope, _ kind: ChatKind, _ user: UserID) throws {
        guard kind == .group, envelope.keys.bytes.readableBytes == 0, envelope.body.readableBytes > 0 else { return }
        let keys = try rows(
            "SELECT keys FROM message_keys WHERE chat_id = ? AND seq = ? AND first_user_id <= ? ORDER BY first_user_id DESC LIMIT 1",
            bind: {
                $0.bind(1, envelope.chat.rawValue)
                $0.bind(2, envelope.chatSeq)
                $0.bind(3, user.rawValue)
            }
        ) { row in row.withBytes(0) { MemberKeyList.keys(of: user, in: $0) } }.first
        if let keys { target?.keys = keys }
    }

    private static func envelope(_ row: Statement, for user: UserID) -> StoredEnvelope {
        StoredEnvelope(
            mailboxSeq: row.unsigned(2), chat: ChatID(row.unsigned(0)), chatSeq: row.unsigned(1), message: MessageID(row.unsigned(2)),
            senderUser: UserID(row.unsigned(4)), senderDevice: DeviceID(row.unsigned(5)), clientMessageID: row.unsigned(6),
            body: buffer(row, 9), keys: row.withBytes(8) { MemberKeyList.keys(of: user, in: $0) },
            extra: row.integer(3) == 0 ? nil : ExtraBytes.read(row.integer(3), buffer(row, 7)))
    }

    /// In the place of everything up to and with ``Stay/gapSeq``.
    private static func gap(_ stay: Stay) -> StoredEnvelope {
        StoredEnvelope(
            mailboxSeq: stay.gapID, chat: stay.chat, chatSeq: stay.gapSeq, message: MessageID(stay.gapID), senderUser: UserID(0),
            senderDevice: DeviceID(0), clientMessageID: 0, body: ByteBuffer(), keys: PackedKeys(), extra: .gone)
    }

    // MARK: History

    /// Where a page of a chat's history begins and which way it goes.
    package enum PageStart: Sendable {
        /// Newer than this sequence, oldest first.
        case after(UInt64)
        /// Older than this sequence, newest first.
        case before(UInt64)
    }

    /// A page of a chat as `user` may see it: the stays of the user, up to `limit` envelopes and about `bytes` of bodies (at least one). What has
    /// expired is a gap marker.
    /// - Returns: `more`: there may be more in that direction; a page that ended because of its bytes says so, too.
    /// - Throws: `Rejection.chatUnknown` when the user never was in the chat.
    package func messages(
        of chat: ChatID, for user: UserID, _ start: PageStart, limit: Int, bytes: Int
    ) throws -> (rows: [StoredEnvelope], more: Bool) {
        try snapshot {
            let stays = try stays(of: user, in: chat)
            guard !stays.isEmpty else { throw Rejection.chatUnknown }
            return try page(of: stays, for: user, start, limit: limit, bytes: bytes)
        }
    }

    /// - Parameter stays: in a chat, in the order of their beginnings.
    func page(of stays: [Stay], for user: UserID, _ start: PageStart, limit: Int, bytes: Int) throws -> (rows: [StoredEnvelope], more: Bool) {
        var found: [StoredEnvelope] = []
        var room = bytes
        // One more, to see whether there is one.
        let wanted = limit + 1
        switch start {
        case .after(let seq):
            for stay in stays where stay.leftSeq > seq {
                if stay.hasGap, seq < stay.gapSeq { found.append(Reader.gap(stay)) }
                try history(stay, max(seq + 1, stay.first), stay.leftSeq, "ASC", wanted - found.count, &room, user, into: &found)
            }
        case .before(let seq):
            for stay in stays.reversed() where stay.joinedSeq < seq {
                try history(stay, stay.first, min(seq - 1, stay.leftSeq), "DESC", wanted - found.count, &room, user, into: &found)
                let oldest = found.last?.chatSeq ?? seq
                if stay.hasGap, found.count < wanted, room > 0, oldest > stay.gapSeq { found.append(Reader.gap(stay)) }
            }
        }
        return (Array(found.prefix(limit)), found.count > limit || room <= 0)
    }

    /// From `low` to `high`, which is before it where everything has expired: of a member who left early, nothing may be there any more.
    private func history(
        _ stay: Stay, _ low: UInt64, _ high: UInt64, _ order: String, _ limit: Int, _ room: inout Int, _ user: UserID,
        into found: inout [StoredEnvelope]
    ) throws {
        guard limit > 0, room > 0 else { return }
        var left = room
        let page: [StoredEnvelope] = try rows(
            Reader.envelopeColumns + " AND seq BETWEEN ?2 AND ?3 ORDER BY seq \(order)",
            bind: {
                $0.bind(1, stay.chat.rawValue)
                $0.bind(2, low)
                $0.bind(3, high)
            }, upTo: limit
        ) {
            guard left > 0 else { return nil }
            let envelope = Reader.envelope($0, for: user)
            left -= envelope.body.readableBytes
            return envelope
        }
        room = left
        guard let oldest = page.map(\.chatSeq).min(), let newest = page.map(\.chatSeq).max() else { return }
        let hidden = Set(try hidden(from: user, in: stay.chat, oldest...newest))
        for envelope in page {
            var seen: StoredEnvelope? = envelope
            if hidden.contains(ChatPosition(chat: stay.chat, seq: envelope.chatSeq)) { seen?.hide() }
            try seen.map { try fetchKeys(of: &seen, $0, stay.kind, user) }
            if let seen { found.append(seen) }
        }
    }
}

extension StoredEnvelope {
    /// It stands for what has expired.
    package var isGap: Bool { if case .gone? = extra { true } else { false } }

    /// What a user sees in the place of a message that the user deleted.
    mutating func hide() {
        body = ByteBuffer()
        keys = PackedKeys()
        extra = .deleted
    }
}
