import RelayModel

// Cursors and receipts.
extension SQLiteEngine {
    /// Each entry's receipts get a version of their own. What does not fit any more (a revoked device, a former member) is passed over.
    func acknowledge(_ entries: [Acknowledge], _ stamp: Stamp) throws -> Outcome {
        var moved: [MovedReceipt] = []
        for (index, entry) in entries.enumerated() {
            do {
                try acknowledge(entry, version: stamp.rawValue + UInt64(index), &moved)
            } catch is Rejection {
                // Decided before anything was changed; the others are not concerned.
                continue
            }
        }
        return .receipts(moved)
    }

    private func acknowledge(_ entry: Acknowledge, version: UInt64, _ moved: inout [MovedReceipt]) throws {
        let device = try activeDevice(entry.device, of: entry.user)
        guard entry.mailboxSeq <= version else { throw Rejection.positionUnknown }
        if entry.mailboxSeq > device.cursor {
            device.cursor = entry.mailboxSeq
            noteChange(of: device)
        }
        for position in entry.delivered {
            let chat = try chat(position.chat)
            guard chat.keepsReceipts, let member = chat.member(entry.user) else { continue }
            let seq = min(position.seq, chat.lastSeq)
            guard seq > member.deliveredSeq else { continue }
            let before = member.deliveredSeq
            member.deliveredSeq = seq
            moved.append(note(member, of: chat, audience: audience(of: member, in: chat, behind: before, upTo: seq), version))
        }
    }

    func read(_ user: UserID, _ id: ChatID, upTo seq: UInt64, _ stamp: Stamp) throws -> Outcome {
        let chat = try chat(id)
        guard let member = chat.member(user) else { throw Rejection.chatUnknown }
        guard seq <= chat.lastSeq else { throw Rejection.positionUnknown }
        guard seq > member.readSeq else { return .receipts([]) }
        let before = member.readSeq
        member.readSeq = seq
        // What was read was delivered, whatever the acknowledgements say so far.
        member.deliveredSeq = max(member.deliveredSeq, seq)
        // The user's other devices want to know what is still unread.
        let audience = [user] + audience(of: member, in: chat, behind: before, upTo: seq)
        return .receipts([note(member, of: chat, audience: audience, stamp.rawValue)])
    }

    /// Who is told that a member's mark moved: the other one of a direct chat, the authors of what is behind it in a small group.
    private func audience(of member: MemberState, in chat: ChatState, behind old: UInt64, upTo new: UInt64) -> [UserID] {
        switch chat.kind {
        case .direct: chat.memberIDs.filter { $0 != member.user.id }
        case .group: chat.authors(behind: old, upTo: new).filter { $0 != member.user.id && chat.member($0) != nil }
        case .notes: []
        }
    }

    private func note(_ member: MemberState, of chat: ChatState, audience: [UserID], _ version: UInt64) -> MovedReceipt {
        member.version = version
        if !member.changed {
            member.changed = true
            changedReceipts.append((chat.id, member))
        }
        return MovedReceipt(
            row: ReceiptRow(
                chat: chat.id, user: member.user.id, deliveredSeq: member.deliveredSeq, readSeq: member.readSeq, version: member.version),
            audience: audience)
    }
}
