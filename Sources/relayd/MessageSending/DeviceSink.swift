import RelayModel
import RelayStorage

/// One connection of a device as this module sees it; the gateway implements it. Confined to the connection's event loop.
package protocol DeviceSink: AnyObject {
    /// False while the socket holds more than its high watermark.
    var isWritable: Bool { get }
    func answer(_ request: UInt64, _ answer: SendAnswer)
    /// Called once per batch, with the user's keys; the sink picks the device's own.
    func push(_ envelopes: ArraySlice<StoredEnvelope>)
    func push(_ receipts: [ReceiptRow])
    /// The user's contacts that changed.
    func push(_ contacts: [ContactRow])
    /// A device of a contact, or another one of the user's own, has other keys.
    func push(_ change: KeyChange)
    /// Chats in which there is something to fetch.
    func announce(_ positions: [ChatPosition])
    func caughtUp(_ mailboxSeq: UInt64)
    /// Too many sends wait for the disk: hand on no further request, also of what was read already, until told to resume.
    func pauseReading(_ paused: Bool)
    /// Once per tick, after one or more of the above.
    func flush()
    func close(_ reason: StreamEnd)
}

/// The answer to one request of a connection.
package enum SendAnswer: Sendable {
    case sent(SentOutcome)
    case rejected(Rejection)
    case overloaded
    case done
}

/// Why the relay ends a connection.
package enum StreamEnd: Sendable {
    /// The device was revoked or its user removed.
    case revoked
    /// The user was suspended.
    case suspended
    /// The device connected elsewhere.
    case replaced
    /// The relay stops or restarts.
    case restarting
    /// The device says it has what the relay cannot have sent yet.
    case cursorAhead
    /// The writer's inbox is full. A later send of the connection must not overtake the one that was refused.
    case overloaded
    /// The store failed; nothing can be acknowledged any more.
    case storeFailed
}

/// Why a REST request about chats fails.
package enum SendingError: Error, Sendable {
    case rejected(Rejection)
    case overloaded
    case stopping
    case storeFailed
    case messageUnknown
}
