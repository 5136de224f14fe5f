import FoundationEssentials
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayClient

extension Session {
    /// Something on the session's loop, in a transaction of its state.
    func inside<Value: Sendable>(_ body: @Sendable (isolated Session, ClientState, inout Effects) throws -> Value) throws -> (Value, [SessionEvent]) {
        let state = try working()
        var effects = Effects()
        let value = try state.transaction { try body(self, state, &effects) }
        return (value, effects.events)
    }
}

/// Sessions of several devices without a relay: what is sealed is handed out as the relay would, with the places that the test gives it.
final class Room {
    struct Device {
        var user: UserID
        var id: DeviceID
        var name: String
        var secrets: DeviceSecrets
        var session: Session
    }

    let chat = ChatID(5)
    let clock = ManualWallClock(Timestamp(milliseconds: 1_800_000_000_000))
    private(set) var devices: [String: Device] = [:]
    private let scratches: [Scratch]
    private var seq: UInt64 = 0
    private var numbers: [DeviceID: UInt64] = [:]

    /// Users 1, 2, 3 … with one device each (11, 21, 31 …); a group when there are more than two.
    init(_ names: String...) throws {
        scratches = try names.map { _ in try Scratch() }
        var known: [KnownDevice] = []
        var states: [ClientState] = []
        for (index, name) in names.enumerated() {
            let user = UserID(UInt64(index + 1))
            let device = DeviceID(UInt64(10 * (index + 1) + 1))
            let (state, secrets) = try ClientState.create(
                scratches[index].directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy(), at: clock.now())
            try state.completeEnrolment(user: user, name: name, device: device)
            known.append(
                KnownDevice(
                    id: device, user: user, name: "phone", identityKey: secrets.identityKey, agreementKey: secrets.agreementKey, active: true))
            states.append(state)
        }
        for state in states {
            try state.transaction {
                for (index, name) in names.enumerated() {
                    try state.store(user: UserID(UInt64(index + 1)), name: name, displayName: "", devices: [known[index]])
                }
                let users = known.map(\.user)
                if users.count == 2 {
                    try state.storeChat(chat, members: users)
                } else {
                    try state.storeGroup(chat, members: users.map { ($0, .member) }, at: 0, joined: 0, left: 0)
                }
            }
        }
        states = []
        var settings = SessionSettings()
        settings.clock = clock
        for (index, name) in names.enumerated() {
            let session = try Session(scratches[index].directory, settings: settings)
            let (user, id) = (known[index].user, known[index].id)
            let secrets = try #require(try scratches[index].directory.readKeys()).device
            devices[name] = Device(user: user, id: id, name: name, secrets: secrets, session: session)
        }
    }

    subscript(_ name: String) -> Device {
        get throws { try #require(devices[name]) }
    }

    private func place() -> UInt64 {
        seq += 1
        return seq
    }

    /// A message of a device as its own client would seal it, for the others; a device in `without` gets a key that it cannot open.
    func seal(
        _ content: Relay_Client_V1_Content, from name: String, without: [String] = []
    ) throws -> (envelopes: [String: Relay_V1_Envelope], place: SentPlace) {
        let sender = try self[name]
        let number = numbers[sender.id, default: 0] + 1
        numbers[sender.id] = number
        let header = EnvelopeHeader(chat: chat, senderUser: sender.user, senderDevice: sender.id, clientMessageID: number)
        let everybody = devices.values.sorted { $0.id < $1.id }
        let sealed = try EnvelopeV1.seal(
            try content.serializedBytes(), header: header, sender: sender.secrets,
            recipients: everybody.map { ($0.user, $0.id, $0.secrets.agreementKey) }, entropy: SystemEntropy())
        let seq = place()
        let place = SentPlace(chat: chat, clientMessageID: number, message: MessageID(1000 + seq), chatSeq: seq, sentAt: clock.now())
        var envelopes: [String: Relay_V1_Envelope] = [:]
        for (device, key) in zip(everybody, sealed.keys) {
            envelopes[device.name] = envelope(
                place, from: sender, body: sealed.body, key: without.contains(device.name) ? [UInt8](repeating: 9, count: 48) : key.key, version: 1)
        }
        return (envelopes, place)
    }

    private func envelope(_ place: SentPlace, from sender: Device, body: [UInt8], key: [UInt8], version: UInt32) -> Relay_V1_Envelope {
        var envelope = Relay_V1_Envelope()
        envelope.chatID = chat.rawValue
        envelope.chatSeq = place.chatSeq
        envelope.messageID = place.message.rawValue
        envelope.sentAtMs = place.sentAt.milliseconds
        envelope.senderUserID = sender.user.rawValue
        envelope.senderDeviceID = sender.id.rawValue
        envelope.clientMessageID = place.clientMessageID
        envelope.body = Data(body)
        envelope.key = Data(key)
        envelope.keyVersion = version
        return envelope
    }

    /// A text in the history of its sender, and in those of the others but the ones that cannot open it. Gives its place.
    @discardableResult
    func says(_ text: String, from name: String, without: [String]) async throws -> SentPlace {
        var content = Relay_Client_V1_Content()
        content.text.text = text
        content.writtenAtMs = clock.now().milliseconds
        let (envelopes, place) = try seal(content, from: name, without: without)
        let sender = try self[name]
        let entry = HistoryEntry(
            chat: chat, chatSeq: place.chatSeq, message: place.message, senderUser: sender.user, senderDevice: sender.id,
            clientMessageID: place.clientMessageID, sentAt: place.sentAt, writtenAt: place.sentAt, text: text, problem: nil)
        _ = try await sender.session.inside { session, state, _ in
            try state.setHighestClientMessageID(place.clientMessageID)
            try state.insertHistory(entry)
        }
        for (device, envelope) in envelopes where device != name { try await give(envelope, to: device) }
        return place
    }

    @discardableResult
    func give(_ envelope: Relay_V1_Envelope, to name: String) async throws -> [SessionEvent] {
        try await self[name].session.inside { session, state, effects in try session.store(envelope, mailboxSeq: nil, state, &effects) }.1
    }

    /// What a device has to send by itself: sealed by its client, accepted, and as the others get it.
    func sent(by name: String, refetched: Bool = false) async throws -> [[String: Relay_V1_Envelope]] {
        let sender = try self[name]
        let sealed = try await sender.session.inside { session, state, effects in
            // As if the relay had been asked.
            if refetched { session.staleChats = [] }
            try session.seal(state, &effects)
            return try state.sealedOutbox().map { ($0.id, try state.sealedBytes($0.id) ?? []) }
        }.0
        var all: [[String: Relay_V1_Envelope]] = []
        for (row, bytes) in sealed {
            let send = try Relay_V1_Send(serializedBytes: bytes)
            let seq = place()
            let place = SentPlace(
                chat: chat, clientMessageID: send.clientMessageID, message: MessageID(1000 + seq), chatSeq: seq, sentAt: clock.now())
            numbers[sender.id] = max(numbers[sender.id, default: 0], send.clientMessageID)
            _ = try await sender.session.inside { session, state, effects in try session.accept(row, place, state, &effects) }
            var envelopes: [String: Relay_V1_Envelope] = [:]
            for device in devices.values where device.id != sender.id {
                let wrapped = try #require(send.keys.flatMap(\.devices).first { $0.deviceID == device.id.rawValue })
                envelopes[device.name] = envelope(
                    place, from: sender, body: Array(send.body), key: Array(wrapped.key), version: wrapped.keyVersion)
            }
            all.append(envelopes)
        }
        return all
    }

    func history(_ name: String) async throws -> [HistoryEntry] {
        try await self[name].session.read { state throws(ClientError) in try state.history() }
    }

    /// What a device's client has in its outbox.
    func waiting(_ name: String) async throws -> [OutboxCommand] {
        try await self[name].session.read { state throws(ClientError) in try state.outbox() }.compactMap(\.command)
    }
}
