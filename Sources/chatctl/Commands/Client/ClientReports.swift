import RelayClient
import RelayModel

/// What `client enrol` prints.
struct EnrolReport: Codable {
    var user: String
    var userID: UserID
    var device: DeviceID
    var deviceName: String
    var relay: String
    var state: String
}

/// A change of a group as it is printed.
struct ChangeReport: Codable {
    /// `create`, `add`, `remove`, `leave`, `rename` or `setRole`.
    var action: String
    var users: [String]
    /// `member`, `admin` or `owner`.
    var role: String?
    /// The title that came with it.
    var title: String?

    init(_ change: GroupChangeRecord, title: String?) {
        action = "\(change.action)"
        users = change.names
        role = change.role.map { "\($0)" }
        self.title = title
    }
}

/// Changes of groups and deletions as sentences.
enum ChangeText {
    static func sentence(_ entry: HistoryEntry) -> String {
        let who = entry.senderName ?? "somebody"
        switch entry.kind {
        case .message: return entry.text ?? entry.problem ?? "unreadable"
        case .deleted(let forEveryone): return forEveryone ? "(deleted)" : "(deleted for this user)"
        case .technical: return "(between devices)"
        case .deletion(let seqs): return "\(who) deleted \(Figures.number(seqs.count, "message"))"
        case .change(let change):
            let users = change.names.joined(separator: ", ")
            switch change.action {
            case .create: return "\(who) made the group\(change.names.isEmpty ? "" : " with \(users)")"
            case .add: return "\(who) added \(users)"
            case .remove: return "\(who) removed \(users)"
            case .leave: return "\(users.isEmpty ? who : users) left"
            case .rename: return entry.text.map { "\(who) called the group “\($0)”" } ?? "\(who) renamed the group"
            case .setRole: return "\(who) made \(users) \(change.role.map { "\($0)" } ?? "something unknown")"
            }
        }
    }
}

extension DeadLetter {
    /// `the message to bob`.
    var what: String {
        switch command {
        case nil: "the message to \(recipient)"
        case .create: "the group “\(recipient)”"
        case .delete: "the deletion in \(recipient)"
        default: "the change of “\(recipient)”"
        }
    }
}

/// A place in a chat as `client listen` and `client history` print it.
struct MessageReport: Codable {
    var chat: ChatID
    /// The chat's other member, or the group's title.
    var with: String?
    /// The chat is a group; left out otherwise.
    var group: Bool?
    /// `message`, `change`, `deletion`, or `deleted` for what is left of a deleted message.
    var kind: String
    var seq: UInt64
    var message: MessageID
    var clientMessageID: UInt64
    var from: String?
    var fromDevice: DeviceID
    var sentAt: Timestamp
    var writtenAt: Timestamp?
    var text: String?
    /// Why the text is missing.
    var problem: String?
    var change: ChangeReport?
    /// What a deletion deleted.
    var deletes: [UInt64]?

    init(_ entry: HistoryEntry) {
        chat = entry.chat
        with = entry.with
        group = entry.inGroup ? true : nil
        seq = entry.chatSeq
        message = entry.message
        clientMessageID = entry.clientMessageID
        from = entry.senderName
        fromDevice = entry.senderDevice
        sentAt = entry.sentAt
        writtenAt = entry.writtenAt
        problem = entry.problem
        switch entry.kind {
        case .message:
            kind = "message"
            text = entry.text
        case .change(let record):
            kind = "change"
            change = ChangeReport(record, title: entry.text)
        case .deletion(let seqs):
            kind = "deletion"
            deletes = seqs
        case .deleted: kind = "deleted"
        case .technical: kind = "technical"
        }
    }

    var line: String {
        let place = group == true ? " in \(Printable.line(with ?? chat.description))" : ""
        return "\(Figures.time(sentAt))  \(Printable.line(from ?? "?"))\(place): \(Printable.line(text ?? "(\(problem ?? "unreadable"))"))"
    }
}

/// Places of a chat that are not in the history.
struct GapReport: Codable {
    var chat: ChatID
    var first: UInt64
    var last: UInt64
    /// The relay has them no more; otherwise they never came.
    var gone: Bool

    init(_ gap: GapRecord) {
        chat = gap.chat
        first = gap.places.lowerBound
        last = gap.places.upperBound
        gone = gap.gone
    }
}

/// A group as `client group list` and `client group show` print it.
struct GroupReport: Codable {
    struct Member: Codable {
        var user: UserID
        var name: String?
        var role: String
    }
    var group: ChatID
    var title: String?
    /// This user's role; left out for a former member.
    var role: String?
    var members: Int
    var active: Bool

    init(_ group: GroupRecord) {
        self.group = group.chat
        title = group.title
        role = group.role.map { "\($0)" }
        members = group.memberCount
        active = group.leftSeq == 0
    }
}

struct GroupDetailReport: Codable {
    var group: GroupReport
    var members: [GroupReport.Member]
}

extension Page {
    /// The places of chats in their order, what is missing among them.
    mutating func history(_ entries: [HistoryEntry], gaps: [GapRecord]) {
        var rows: [(chat: ChatID, seq: UInt64, cells: [Cell])] = entries.map { entry in
            let text: Cell =
                switch entry.kind {
                case .message: entry.text.map { Cell($0, quoted: true) } ?? Cell(entry.problem ?? "unreadable", .bad)
                case .change, .deletion, .deleted, .technical: Cell(ChangeText.sentence(entry), .faint)
                }
            return (
                entry.chat, entry.chatSeq,
                [
                    Cell(Figures.time(entry.sentAt), .faint), Cell(entry.with ?? entry.chat.description), Cell("\(entry.chatSeq)"),
                    Cell(entry.senderName ?? entry.senderDevice.description, .strong), text,
                ]
            )
        }
        for gap in gaps {
            let places = gap.places.count == 1 ? "\(gap.places.lowerBound)" : "\(gap.places.lowerBound)-\(gap.places.upperBound)"
            let text = gap.gone ? "gone from the relay" : "never came"
            rows.append(
                (
                    gap.chat, gap.places.lowerBound,
                    ["", Cell(entries.first { $0.chat == gap.chat }?.with ?? gap.chat.description), Cell(places), "", Cell(text, .bad)]
                ))
        }
        rows.sort { ($0.chat, $0.seq) < ($1.chat, $1.seq) }
        table(["SENT", "CHAT WITH", Column("SEQ", .right), "FROM", "TEXT"], rows.map(\.cells))
    }

    /// The title comes with the group's changes, sealed for the devices of that time: one that was enrolled later waits for the next.
    private func title(_ group: GroupReport) -> Cell {
        if let title = group.title { return Cell(title, .strong) }
        return Cell(group.active ? "no title yet: comes with the next rename or new member" : "no title known", .faint)
    }

    mutating func groups(_ groups: [GroupReport]) {
        table(
            ["GROUP", "ROLE", Column("MEMBERS", .right), "CHAT"],
            groups.map { group in
                [
                    title(group), group.active ? Cell(group.role ?? "member") : Cell("left", .faint),
                    Cell(Figures.count(group.members)), Cell(group.group.description, .faint),
                ]
            })
    }

    mutating func group(_ detail: GroupDetailReport) {
        pairs([
            ("group", title(detail.group)), ("chat", Cell(detail.group.group.description)),
            ("role", detail.group.active ? Cell(detail.group.role ?? "member") : Cell("left", .faint)),
            ("members", Cell(Figures.count(detail.group.members))),
        ])
        guard !detail.members.isEmpty else { return }
        blank()
        table(["USER", "ROLE", "ID"], detail.members.map { [Cell($0.name ?? "", .strong), Cell($0.role), Cell($0.user.description, .faint)] })
    }
}

/// A dead letter as it is printed.
struct DeadLetterReport: Codable {
    var id: Int64
    var to: String
    var text: String
    var writtenAt: Timestamp
    var code: String
    var reason: String
    /// What it was, when it was no message: `create`, `add`, `remove`, `leave`, `rename`, `setRole` or `delete`.
    var command: String?

    init(_ letter: DeadLetter) {
        id = letter.id
        to = letter.recipient
        text = letter.text
        writtenAt = letter.writtenAt
        code = letter.code
        reason = letter.reason
        command = letter.command?.name
    }
}

extension OutboxCommand {
    var name: String {
        switch self {
        case .create: "create"
        case .add: "add"
        case .remove: "remove"
        case .leave: "leave"
        case .rename: "rename"
        case .setRole: "setRole"
        case .delete: "delete"
        case .requestResend: "requestResend"
        case .resend: "resend"
        }
    }

    /// For people, in place of a text.
    /// - Parameter text: the entry's own: a rename's title.
    func sentence(_ text: String) -> String {
        switch self {
        case .create(let users): "make the group with \(users.joined(separator: ", "))"
        case .add(let users): "add \(users.joined(separator: ", "))"
        case .remove(let users): "remove \(users.joined(separator: ", "))"
        case .leave: "leave the group"
        case .rename: "call the group “\(text)”"
        case .setRole(let users, let role): "make \(users.joined(separator: ", ")) \(role)"
        case .requestResend(let seq, _, _): "ask for message \(seq) again"
        case .resend(let seq, _, _, _): "send message \(seq) again"
        case .delete(let seqs, let forEveryone): "delete \(Figures.number(seqs.count, "message"))\(forEveryone ? " for everyone" : "")"
        }
    }
}
