import Foundation
import NIOCore
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayTestSupport
import RelayWire
import SwiftProtobuf
import Testing

@testable import RelayStorage

/// A store of the first schema is brought to the newest one by the real relayd, which is killed while it does so.
@Suite("Upgrade of the store") struct UpgradeTests {
    /// A store file as the first schema left it: two users with two devices each, who wrote to each other.
    struct FirstStore {
        static let messages = 3000
        /// What bob's laptop had acknowledged.
        static let acknowledged = 1234

        let secrets = (0..<4).map { number in DeviceSecrets.generate(Repeated(byte: UInt8(number + 1))) }
        /// Alice's phone and laptop, bob's phone and laptop.
        let devices: [(user: UserID, device: DeviceID)]
        let users: [UserID]
        let chat: ChatID

        struct Repeated: Entropy {
            let byte: UInt8
            func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }
        }

        /// What a device must get: of the other three devices' messages, in order.
        struct Message: Equatable {
            var sender: DeviceID
            var clientMessageID: UInt64
            var chatSeq: UInt64
            var message: MessageID
            var body: [UInt8]
            /// By the device's number.
            var keys: [[UInt8]]
        }
        let sent: [Message]

        init() {
            var stamps = StampSource(after: Stamp(rawValue: 0))
            var time = Timestamp(milliseconds: 1_790_000_000_000)
            func stamp() -> UInt64 {
                time = Timestamp(milliseconds: time.milliseconds + 7)
                return stamps.next(at: time).rawValue
            }
            let users = (0..<2).map { _ in UserID(stamp()) }
            let devices = (0..<4).map { (users[$0 / 2], DeviceID(stamp())) }
            chat = ChatID(stamp())
            var numbers = [UInt64](repeating: 0, count: 4)
            sent = (1...Self.messages).map { seq in
                let sender = [0, 2, 0, 3, 1][seq % 5]
                numbers[sender] += seq % 7 == 0 ? 2 : 1
                return Message(
                    sender: devices[sender].1, clientMessageID: numbers[sender], chatSeq: UInt64(seq), message: MessageID(stamp()),
                    body: Array("body \(seq)".utf8) + [UInt8](repeating: UInt8(truncatingIfNeeded: seq), count: seq % 11 == 0 ? 4000 : 201),
                    keys: (0..<4).map { device in [UInt8](repeating: UInt8(truncatingIfNeeded: seq &+ device), count: 48) })
            }
            self.users = users
            self.devices = devices
        }

        /// Writes the file with the first schema's own statements.
        func write(to path: String) throws {
            let database = try Database(path: path, access: .readWriteCreate)
            try database.execute(Schema.migrations[0].sql)
            try database.transaction {
                for (number, user) in users.enumerated() {
                    try database.prepare("INSERT INTO users (user_id, name) VALUES (?, ?)").run {
                        $0.bind(1, user.rawValue)
                        $0.bind(2, ["alice", "bob"][number])
                    }
                }
                for (number, (user, device)) in devices.enumerated() {
                    let keys = secrets[number].publicKeys
                    let statement = try database.prepare(
                        """
                        INSERT INTO devices (device_id, user_id, name, identity_key, agreement_key, agreement_signature)
                        VALUES (?, ?, ?, ?, ?, ?)
                        """)
                    try statement.run {
                        $0.bind(1, device.rawValue)
                        $0.bind(2, user.rawValue)
                        $0.bind(3, number % 2 == 0 ? "phone" : "laptop")
                        $0.bind(4, keys.identityKey)
                        $0.bind(5, keys.agreementKey)
                        $0.bind(6, keys.agreementSignature)
                    }
                    try database.prepare("INSERT INTO senders VALUES (?, ?)").run {
                        $0.bind(1, device.rawValue)
                        $0.bind(2, sent.last { $0.sender == device }?.clientMessageID ?? 0)
                    }
                }
                try database.prepare("INSERT INTO cursors VALUES (?, ?)").run {
                    $0.bind(1, devices[3].device.rawValue)
                    $0.bind(2, Self.acknowledged)
                }
                try database.prepare("INSERT INTO chats (chat_id, user_low, user_high) VALUES (?, ?, ?)").run {
                    $0.bind(1, chat.rawValue)
                    $0.bind(2, users[0].rawValue)
                    $0.bind(3, users[1].rawValue)
                }
                for user in users {
                    try database.prepare("INSERT INTO members VALUES (?, ?)").run {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, user.rawValue)
                    }
                    try database.prepare("INSERT INTO receipts VALUES (?, ?, ?, ?, ?)").run {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, user.rawValue)
                        $0.bind(3, Self.acknowledged)
                        $0.bind(4, 1000)
                        $0.bind(5, user == users[0] ? 1 : 2)
                    }
                }
                let message = try database.prepare("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)")
                let mailbox = try database.prepare("INSERT INTO mailbox VALUES (?, ?, ?, ?, ?, ?)")
                for one in sent {
                    try message.run {
                        $0.bind(1, chat.rawValue)
                        $0.bind(2, one.chatSeq)
                        $0.bind(3, one.message.rawValue)
                        $0.bind(4, devices.first { $0.device == one.sender }?.user.rawValue ?? 0)
                        $0.bind(5, one.sender.rawValue)
                        $0.bind(6, one.clientMessageID)
                        $0.bind(7, one.body)
                    }
                    for (number, user) in users.enumerated() {
                        var packed = PackedKeys()
                        for device in [2 * number, 2 * number + 1] { packed.append(devices[device].device, key: one.keys[device]) }
                        try mailbox.run {
                            $0.bind(1, user.rawValue)
                            $0.bind(2, one.chatSeq)
                            $0.bind(3, one.message.rawValue)
                            $0.bind(4, chat.rawValue)
                            $0.bind(5, one.chatSeq)
                            $0.bind(6, Array(packed.bytes.readableBytesView))
                        }
                    }
                }
                try database.execute("INSERT INTO meta VALUES ('last_stamp', \(sent.last?.message.rawValue ?? 0))")
                try database.execute("PRAGMA user_version = 1")
            }
        }

        /// The messages of the others behind what a device has acknowledged, with the key that is wrapped for it.
        func expected(for number: Int) -> [Message] {
            sent.filter { $0.sender != devices[number].device && $0.chatSeq > (number == 3 ? UInt64(Self.acknowledged) : 0) }
                .map {
                    var message = $0
                    message.keys = [$0.keys[number]]
                    return message
                }
        }
    }

    @Test(.timeLimit(.minutes(10))) func aKilledUpgradeLosesNothing() async throws {
        var random = SeededGenerator(seed: CrashMatrixTests.seed("killed upgrade"))
        let store = FirstStore()
        let directory = try TemporaryDirectory()
        let faults = try Preload.Faults(directory)
        let pristine = directory.file("pristine.db")
        try store.write(to: pristine)

        // How many calls of the disk a start on this store makes.
        let whole = try RelayProcess(everyoneIsContact: false, logLevel: "warning", environment: faults.environment)
        try FileManager.default.copyItem(atPath: pristine, toPath: whole.storePath)
        faults.arm(.count, .any)
        try await whole.start()
        let calls = faults.seen
        faults.disarm()
        try await Self.check(store, whole)

        var killed = 0
        let relay = try RelayProcess(everyoneIsContact: false, logLevel: "warning", environment: faults.environment)
        try FileManager.default.copyItem(atPath: pristine, toPath: relay.storePath)
        for round in 0..<8 where calls > 0 {
            // The first and the last call, and some between.
            faults.arm(.kill, .any, passing: round == 0 ? 0 : round == 1 ? calls - 1 : Int.random(in: 0..<calls, using: &random))
            // A start that has less left to do than the first one had is not struck.
            do { try await relay.start() } catch { killed += 1 }
            try await relay.kill()
            faults.disarm()
        }
        print("killed upgrade: a start makes \(calls) calls of the disk, \(killed) starts were killed")
        try await relay.start()
        try await Self.check(store, relay)
    }

    /// Every device gets exactly what it should, and all of it can go on.
    static func check(_ store: FirstStore, _ relay: RelayProcess) async throws {
        let port = relay.port
        let found = try await blocking {
            try (0..<4).map { number -> [FirstStore.Message] in
                let device = try WireDevice(
                    port: port, user: store.devices[number].user, device: store.devices[number].device, secrets: store.secrets[number])
                var got: [FirstStore.Message] = []
                try device.connectBinary().drain { envelope in
                    got.append(
                        FirstStore.Message(
                            sender: DeviceID(envelope.senderDeviceID), clientMessageID: envelope.clientMessageID, chatSeq: envelope.chatSeq,
                            message: MessageID(envelope.messageID), body: Array(envelope.body), keys: [Array(envelope.key)]))
                }
                return got
            }
        }
        for number in 0..<4 {
            let expected = store.expected(for: number)
            #expect(found[number].count == expected.count)
            let difference = zip(found[number], expected).first { $0 != $1 }
            #expect(difference == nil, "device \(number)")
        }
        // The next message takes the next place.
        let sent = try await blocking {
            let devices = try (0..<4).map { number in
                try WireDevice(port: port, user: store.devices[number].user, device: store.devices[number].device, secrets: store.secrets[number])
            }
            let connection = try devices[0].connectBinary()
            try connection.send(
                Relay_V1_ClientFrame.message(
                    request: 1, chat: store.chat.rawValue, clientMessageID: 1_000_000, body: [1, 2, 3], devices: devices))
            while true {
                let frame = try connection.readServerFrame()
                if case .sent(let sent) = frame.kind { return sent }
                if case .error(let error) = frame.kind { throw SupportFailure("refused with \(error.code)") }
            }
        }
        #expect(sent.chatSeq == UInt64(FirstStore.messages) + 1)
        #expect(sent.messageID > store.sent.last?.message.rawValue ?? .max)
        #expect(await relay.terminate() == .exited(0), "\(relay.standardError.suffix(2000))")
    }
}
