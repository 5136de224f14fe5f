import Foundation
import RelayControl
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf

/// A device by hand that only reads: over as many connections as it takes, dropping what its cursor has passed, and opening bodies with its own keys.
/// Light enough for the many members of a large group. Blocks; one thread at a time.
package final class WireReader: @unchecked Sendable {
    /// What an envelope says, once it is opened.
    package enum Content: Hashable, Sendable {
        case message(String)
        case change(GroupAction, users: [UInt64])
        /// The messages at these places of the chat were deleted.
        case deletion(chat: UInt64, [UInt64])
        /// A tombstone.
        case deleted
        /// Says why nothing can be made of it.
        case unreadable(String)
    }

    /// `carol.phone`.
    package let name: String
    package private(set) var device: WireDevice
    /// Everything that came, after de-duplication by the cursor, in its order.
    package private(set) var envelopes: [Relay_V1_Envelope] = []
    private var cursor: UInt64 = 0
    private var connection: RawConnection?
    private var identityKeys: [UInt64: [UInt8]] = [:]

    package init(name: String, _ device: WireDevice) {
        self.name = name
        self.device = device
    }

    /// New users with a device each, called `phone`, on a relay that runs.
    package static func newUsers(_ names: [String], on relay: RelayProcess) async throws -> [WireReader] {
        var codes: [(user: String, code: String)] = []
        for name in names { codes.append((name, try await relay.control.call(UserAdd(user: name)).invite.code)) }
        let (port, invited) = (relay.port, codes)
        return try await blocking {
            try invited.map { WireReader(name: "\($0.user).phone", try WireDevice(port: port, code: $0.code)) }
        }
    }

    /// Connects behind what it has, and takes all that waits; then the stream is live.
    package func connect() throws {
        try device.signIn()
        let connection = try device.connectBinary(cursor: cursor > 0 ? cursor : nil)
        try connection.drain { note($0) }
        self.connection = connection
    }

    /// Takes what came on the connection since, until the relay ends it.
    package func readToTheEnd() throws {
        guard let connection else { return }
        self.connection = nil
        do {
            while true {
                guard case .deliver(let deliver) = try connection.readServerFrame().kind else { continue }
                for envelope in deliver.envelopes { note(envelope) }
            }
        } catch RawConnection.Ending.closed { return }
    }

    private func note(_ envelope: Relay_V1_Envelope) {
        guard envelope.mailboxSeq > cursor else { return }
        cursor = envelope.mailboxSeq
        envelopes.append(envelope)
    }

    /// The mailbox as a device gets it that has nothing yet. For a device that never acknowledges, and at most
    /// ``Limits/unacknowledgedEnvelopes`` envelopes.
    package func mailboxFromTheBeginning() throws -> [Relay_V1_Envelope] {
        try device.signIn()
        var found: [Relay_V1_Envelope] = []
        try device.connectBinary().drain(acknowledging: false) { found.append($0) }
        return found
    }

    /// Chats as the relay shows them page by page.
    package func history(of chats: [UInt64]) throws -> [Relay_V1_Envelope] {
        try device.signIn()
        var found: [Relay_V1_Envelope] = []
        for chat in chats {
            var next: UInt64? = 0
            while let after = next {
                let headers = device.authorization.merging(["Accept": "application/x-protobuf"]) { first, _ in first }
                let reply = try RawConnection(port: device.port).request("GET", "/v1/chats/\(chat)/messages?after=\(after)", headers: headers)
                guard reply.status == 200 else { throw SupportFailure("asking for messages was answered with \(reply.status): \(reply.text)") }
                let page = try Relay_V1_MessagesPage(serializedBytes: reply.body)
                found += page.messages
                next = page.next > 0 ? page.next : nil
            }
        }
        return found
    }

    /// Asks the relay for the sender's key when it does not have it: the relay must run, and the device be signed in.
    package func content(of envelope: Relay_V1_Envelope) throws -> Content {
        if envelope.deleted {
            return envelope.body.isEmpty && envelope.key.isEmpty ? .deleted : .unreadable("a tombstone with content")
        }
        if envelope.hasDeletion { return .deletion(chat: envelope.deletion.chatID, envelope.deletion.chatSeqs) }
        if envelope.hasEvent {
            guard let action = GroupAction(rawValue: UInt8(clamping: envelope.event.action.rawValue)) else { return .unreadable("an unknown change") }
            return .change(action, users: envelope.event.userIds.sorted())
        }
        if envelope.gone { return .unreadable("a gap marker") }
        let header = EnvelopeHeader(
            chat: ChatID(envelope.chatID), senderUser: UserID(envelope.senderUserID), senderDevice: DeviceID(envelope.senderDeviceID),
            clientMessageID: envelope.clientMessageID)
        let bytes: [UInt8]
        do {
            bytes = try EnvelopeV1.open(
                body: Array(envelope.body), wrappedKey: Array(envelope.key), header: header, device: device.secrets,
                senderIdentityKey: try identityKey(of: envelope.senderDeviceID))
        } catch let error as CryptoError {
            return .unreadable(error.description)
        }
        return .message(try Relay_Client_V1_Content(serializedBytes: bytes).text.text)
    }

    private func identityKey(of sender: UInt64) throws -> [UInt8] {
        if let known = identityKeys[sender] { return known }
        struct Reply: Decodable {
            struct Keys: Decodable { var identityKey: Data }
            var keys: Keys
        }
        let reply = try RawConnection(port: device.port).request("GET", "/v1/devices/\(sender)", headers: device.authorization)
        guard reply.status == 200 else { throw SupportFailure("asking for a device was answered with \(reply.status): \(reply.text)") }
        let key = Array(try JSONDecoder().decode(Reply.self, from: Data(reply.body)).keys.identityKey)
        identityKeys[sender] = key
        return key
    }
}
