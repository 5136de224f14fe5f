import FoundationEssentials
import NIOCore
import RelayHTTP
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayWire

/// The relay's values as the schema has them.
enum ServerFrames {
    static func answer(_ request: UInt64, _ answer: SendAnswer) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.requestID = request
        switch answer {
        case .sent(let outcome): frame.sent = sent(outcome)
        case .rejected(let rejection): frame.error = WireFailure(rejection).wire
        case .overloaded: frame.error = WireFailure.overloaded.wire
        // A read has no result of its own; the receipt that it moved comes to every device by itself.
        case .done: frame.receipts = Relay_V1_Receipts()
        }
        return frame
    }

    static func error(_ request: UInt64, _ failure: WireFailure) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.requestID = request
        frame.error = failure.wire
        return frame
    }

    static func pong(_ request: UInt64) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.requestID = request
        frame.pong = Relay_V1_Pong()
        return frame
    }

    static func deliver(_ envelopes: some Collection<StoredEnvelope>, to device: DeviceID) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.deliver.envelopes = envelopes.map { envelope($0, for: device) }
        return frame
    }

    static func receipts(_ rows: [ReceiptRow]) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.receipts.receipts = rows.map(receipt)
        return frame
    }

    static func caughtUp(_ mailboxSeq: UInt64) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.caughtUp.mailboxSeq = mailboxSeq
        return frame
    }

    static func announcement(_ chat: ChatID, _ chatSeq: UInt64) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.announcement.chatID = chat.rawValue
        frame.announcement.chatSeq = chatSeq
        return frame
    }

    static func sent(_ outcome: SentOutcome) -> Relay_V1_Sent {
        var wire = Relay_V1_Sent()
        wire.chatID = outcome.chat.rawValue
        wire.clientMessageID = outcome.clientMessageID
        wire.messageID = outcome.message.rawValue
        wire.chatSeq = outcome.chatSeq
        wire.sentAtMs = outcome.message.time.milliseconds
        return wire
    }

    /// With the key that is wrapped for `device`; an empty one when there is none.
    static func envelope(_ stored: StoredEnvelope, for device: DeviceID) -> Relay_V1_Envelope {
        var wire = Relay_V1_Envelope()
        wire.mailboxSeq = stored.mailboxSeq
        wire.chatID = stored.chat.rawValue
        wire.chatSeq = stored.chatSeq
        wire.messageID = stored.message.rawValue
        wire.sentAtMs = stored.message.time.milliseconds
        wire.senderUserID = stored.senderUser.rawValue
        wire.senderDeviceID = stored.senderDevice.rawValue
        wire.clientMessageID = stored.clientMessageID
        wire.body = data(stored.body)
        if let key = stored.keys.key(for: device) { wire.key = data(key) }
        wire.keyVersion = stored.keys.version(for: device)
        switch stored.extra {
        case nil: break
        case .group(let event):
            wire.event.action = .init(rawValue: Int(event.action.rawValue)) ?? .unspecified
            wire.event.userIds = event.users.map(\.rawValue)
            wire.event.role = .init(rawValue: Int(event.role?.rawValue ?? 0)) ?? .unspecified
        case .deletion(let deletion):
            wire.deletion.chatID = deletion.chat.rawValue
            wire.deletion.chatSeqs = deletion.seqs
        case .deleted: wire.deleted = true
        case .gone: wire.gone = true
        }
        return wire
    }

    static func receipt(_ row: ReceiptRow) -> Relay_V1_Receipt {
        var wire = Relay_V1_Receipt()
        wire.chatID = row.chat.rawValue
        wire.userID = row.user.rawValue
        wire.deliveredSeq = row.deliveredSeq
        wire.readSeq = row.readSeq
        wire.version = row.version
        return wire
    }

    static func contacts(_ rows: [ContactRow]) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.contacts.contacts = rows.map(contact)
        return frame
    }

    static func contact(_ row: ContactRow) -> Relay_V1_Contact {
        var wire = Relay_V1_Contact()
        wire.userID = row.peer.rawValue
        wire.state = .init(rawValue: Int(row.state.rawValue)) ?? .contactNone
        wire.category = row.category
        wire.version = row.version
        return wire
    }

    static func keyChange(_ change: KeyChange) -> Relay_V1_ServerFrame {
        var frame = Relay_V1_ServerFrame()
        frame.keyChange.userID = change.user.rawValue
        frame.keyChange.device = device(change.bundle)
        frame.keyChange.changed = change.kinds.map { .init(rawValue: Int($0.rawValue)) ?? .unspecified }
        frame.keyChange.formerUntilMs = change.formerUntil?.milliseconds ?? 0
        frame.keyChange.version = change.version
        return frame
    }

    /// With the prekeys that the bundle has.
    static func device(_ bundle: DeviceBundle) -> Relay_V1_Device {
        var wire = Relay_V1_Device()
        wire.deviceID = bundle.device.rawValue
        wire.name = bundle.name
        wire.revoked = bundle.revoked
        wire.keys = keys(bundle.keys, agreementVersion: bundle.agreementVersion)
        if let prekey = bundle.signedPrekey { wire.keys.signedPrekey = signedPrekey(prekey) }
        if let prekey = bundle.lastResortPrekey { wire.keys.lastResortPrekey = signedPrekey(prekey) }
        if let prekey = bundle.oneTimePrekey {
            var oneTime = Relay_V1_OneTimePrekey()
            oneTime.id = prekey.id
            oneTime.key = Data(prekey.key)
            wire.keys.oneTimePrekeys = [oneTime]
        }
        return wire
    }

    static func keys(_ keys: DeviceKeySet, agreementVersion: UInt32) -> Relay_V1_DeviceKeys {
        var wire = Relay_V1_DeviceKeys()
        wire.identityKey = Data(keys.identityKey)
        wire.agreementKey = Data(keys.agreementKey)
        wire.agreementSignature = Data(keys.agreementSignature)
        wire.agreementVersion = agreementVersion
        return wire
    }

    private static func signedPrekey(_ key: SignedKey) -> Relay_V1_SignedPrekey {
        var wire = Relay_V1_SignedPrekey()
        wire.id = key.id
        wire.key = Data(key.key)
        wire.signature = Data(key.signature)
        return wire
    }

    private static func data(_ buffer: ByteBuffer) -> Data {
        buffer.withUnsafeReadableBytes { bytes in
            guard let start = bytes.baseAddress else { return Data() }
            return Data(bytes: start, count: bytes.count)
        }
    }
}
