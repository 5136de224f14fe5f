import FoundationEssentials
import NIOCore
import RelayCrypto
import RelayModel
import RelayStorage
import RelayWire
import SwiftProtobuf

/// Keys and sealed messages that are the same on every run.
private enum Sealed {
    struct Bytes: Entropy {
        let first: UInt8
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) &+ first } }
    }

    static let sender = DeviceSecrets.generate(Bytes(first: 1))
    static let receiver = DeviceSecrets.generate(Bytes(first: 2))
    static let header = EnvelopeHeader(chat: ChatID(11), senderUser: UserID(12), senderDevice: DeviceID(13), clientMessageID: 14)

    static let contents: [[UInt8]] = {
        var content = Relay_Client_V1_Content()
        content.text.text = "meet me at the mill, 📍 Mühle"
        content.writtenAtMs = 1_790_000_000_000
        var title = Relay_Client_V1_Content()
        title.groupTitle.title = "millers"
        let texts: [[UInt8]] = [(try? content.serializedBytes()) ?? [], (try? title.serializedBytes()) ?? []]
        // One that does not compress, and one that does so very well.
        return texts + [(0..<600).map { UInt8(truncatingIfNeeded: ($0 &* $0 &* 7) >> 3) }, [UInt8](repeating: 97, count: 20_000), []]
    }()

    static func message(_ index: Int) throws -> (body: [UInt8], key: [UInt8]) {
        let sealed = try EnvelopeV1.seal(
            contents[index], header: header, sender: sender, recipients: [(UserID(15), DeviceID(16), receiver.agreementKey)],
            entropy: Bytes(first: UInt8(index)))
        return (sealed.body, sealed.keys[0].key)
    }
}

/// What the relay sends, as the client library decodes it: the frame, the seal of every envelope, the content.
struct ServerFrameTarget: FuzzTarget {
    static let name = "server-frame"

    func run(_ input: [UInt8]) throws {
        guard let frame = try? Relay_V1_ServerFrame(serializedBytes: input), case .deliver(let deliver) = frame.kind else { return }
        for envelope in deliver.envelopes {
            let header = EnvelopeHeader(
                chat: ChatID(envelope.chatID), senderUser: UserID(envelope.senderUserID), senderDevice: DeviceID(envelope.senderDeviceID),
                clientMessageID: envelope.clientMessageID)
            let opened = try? EnvelopeV1.open(
                body: Array(envelope.body), wrappedKey: Array(envelope.key), header: header, device: Sealed.receiver,
                senderIdentityKey: Sealed.sender.identityKey)
            guard let opened else { continue }
            guard Sealed.contents.contains(opened), header == Sealed.header else { throw Finding("an envelope opened that nobody sealed") }
            _ = try? Relay_Client_V1_Content(serializedBytes: opened)
        }
    }

    func corpus() throws -> [(name: String, bytes: [UInt8])] {
        var deliver = Relay_V1_ServerFrame()
        for index in [0, 1, 2] {
            let message = try Sealed.message(index)
            var envelope = Relay_V1_Envelope()
            envelope.mailboxSeq = UInt64(index) + 1
            envelope.chatID = Sealed.header.chat.rawValue
            envelope.chatSeq = UInt64(index) + 1
            envelope.messageID = 1 << 60
            envelope.sentAtMs = 1_790_000_000_000
            envelope.senderUserID = Sealed.header.senderUser.rawValue
            envelope.senderDeviceID = Sealed.header.senderDevice.rawValue
            envelope.clientMessageID = Sealed.header.clientMessageID
            envelope.body = Data(message.body)
            envelope.key = Data(message.key)
            deliver.deliver.envelopes.append(envelope)
        }
        var event = Relay_V1_ServerFrame()
        var change = Relay_V1_Envelope()
        change.event.action = .setRole
        change.event.userIds = [1, 2, 3]
        change.event.role = .owner
        var deletion = Relay_V1_Envelope()
        deletion.deletion.chatID = 8
        deletion.deletion.chatSeqs = [1, 5, 7]
        var gap = Relay_V1_Envelope()
        gap.gone = true
        event.deliver.envelopes = [change, deletion, gap]
        var sent = Relay_V1_ServerFrame()
        sent.requestID = 3
        sent.sent.chatID = 1
        sent.sent.messageID = 1 << 62
        var error = Relay_V1_ServerFrame()
        error.requestID = 4
        error.error.code = "device_set_mismatch"
        error.error.hint = "fetch the devices again"
        var difference = Relay_V1_DeviceDifference()
        difference.userID = 1
        difference.missing = [2, 3]
        difference.extra = [4]
        error.error.devices = [difference]
        var receipts = Relay_V1_ServerFrame()
        var receipt = Relay_V1_Receipt()
        receipt.chatID = 1
        receipt.version = 9
        receipts.receipts.receipts = [receipt, receipt]
        var announcement = Relay_V1_ServerFrame()
        announcement.announcement.chatID = 3
        announcement.announcement.chatSeq = 1000
        return [
            ("deliver", try deliver.serializedBytes()), ("events", try event.serializedBytes()), ("sent", try sent.serializedBytes()),
            ("error", try error.serializedBytes()), ("receipts", try receipts.serializedBytes()),
            ("announcement", try announcement.serializedBytes()),
        ]
    }
}

/// Version 1 of the envelope. An input is the wrapped key's length in two bytes, the wrapped key, and the body.
struct EnvelopeTarget: FuzzTarget {
    static let name = "envelope"

    func run(_ input: [UInt8]) throws {
        guard input.count >= 2 else { return }
        let length = Int(input[0]) << 8 | Int(input[1])
        let key = Array(input.dropFirst(2).prefix(length))
        let body = Array(input.dropFirst(2 + key.count))
        let opened = try? EnvelopeV1.open(
            body: body, wrappedKey: key, header: Sealed.header, device: Sealed.receiver, senderIdentityKey: Sealed.sender.identityKey)
        if let opened, !Sealed.contents.contains(opened) { throw Finding("an envelope opened that nobody sealed") }
    }

    func corpus() throws -> [(name: String, bytes: [UInt8])] {
        try Sealed.contents.indices.map { index in
            let message = try Sealed.message(index)
            return ("sealed-\(index)", [UInt8(message.key.count >> 8), UInt8(message.key.count & 255)] + message.key + message.body)
        }
    }
}

/// The wrapped keys of a mailbox row.
struct PackedKeysTarget: FuzzTarget {
    static let name = "packed-keys"

    func run(_ input: [UInt8]) throws {
        let packed = PackedKeys(stored: ByteBuffer(bytes: input))
        let devices = packed.devices
        guard devices.count <= input.count / 10 else { throw Finding("\(devices.count) devices in \(input.count) bytes") }
        for device in devices {
            guard let key = packed.key(for: device) else { continue }
            guard key.readableBytes <= input.count - 10 else { throw Finding("a key of \(key.readableBytes) bytes in \(input.count)") }
        }
        _ = packed.key(for: DeviceID(UInt64(Int64.max)))
    }

    func corpus() throws -> [(name: String, bytes: [UInt8])] {
        func packed(_ devices: Int, _ length: Int, version: UInt32 = 0) -> [UInt8] {
            var keys = PackedKeys()
            for device in 0..<devices {
                keys.append(DeviceID(1 << 60 + UInt64(device)), key: [UInt8](repeating: UInt8(device), count: length), version: version)
            }
            return Array(keys.bytes.readableBytesView)
        }
        return [
            ("none", packed(0, 0)), ("one", packed(1, 48)), ("five", packed(5, 48)), ("most", packed(16, 256)), ("empty", packed(3, 0)),
            ("versioned", packed(3, 48, version: 7)),
        ]
    }
}
