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

/// A message as `client listen` and `client history` print it.
struct MessageReport: Codable {
    var chat: ChatID
    /// The chat's other member.
    var with: String?
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

    init(_ entry: HistoryEntry) {
        chat = entry.chat
        with = entry.with
        seq = entry.chatSeq
        message = entry.message
        clientMessageID = entry.clientMessageID
        from = entry.senderName
        fromDevice = entry.senderDevice
        sentAt = entry.sentAt
        writtenAt = entry.writtenAt
        text = entry.text
        problem = entry.problem
    }

    var line: String { "\(Figures.time(sentAt))  \(Printable.line(from ?? "?")): \(Printable.line(text ?? "(\(problem ?? "unreadable"))"))" }
}

/// A dead letter as it is printed.
struct DeadLetterReport: Codable {
    var id: Int64
    var to: String
    var text: String
    var writtenAt: Timestamp
    var code: String
    var reason: String

    init(_ letter: DeadLetter) {
        id = letter.id
        to = letter.recipient
        text = letter.text
        writtenAt = letter.writtenAt
        code = letter.code
        reason = letter.reason
    }
}
