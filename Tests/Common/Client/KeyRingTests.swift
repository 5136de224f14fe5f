import Foundation
import RelayCrypto
import RelayModel
import Testing

@testable import RelayClient

/// A device's agreement keys: the file, and that no crash leaves it without a secret that somebody may have sealed for.
@Suite struct KeyRingTests {
    private let start = Timestamp(milliseconds: 1_800_000_000_000)

    private func ring() -> KeyRing { KeyRing(DeviceSecrets.generate(SystemEntropy()), since: start) }

    /// As a process that starts finds it.
    private func reread(_ ring: KeyRing) throws -> KeyRing { try #require(KeyRing(encoded: ring.encoded())) }

    @Test func theFileHoldsAll() throws {
        var ring = ring()
        let first = ring.device.agreementKey
        ring.begin(grace: .seconds(100), at: start + .seconds(5), SystemEntropy())
        #expect(try reread(ring).records == ring.records)
        ring.complete(version: 2, at: start + .seconds(7))
        ring.begin(grace: .zero, at: start + .seconds(9), SystemEntropy())
        let kept = try reread(ring)
        #expect(kept.records == ring.records && kept.identityKey == ring.identityKey && kept.version == 2)
        #expect(kept.records.map(\.stage) == [.pending, .current, .former(until: start + .seconds(107))])
        #expect(kept.records.last?.agreementKey == first && kept.records.last?.version == 1)
        #expect(kept.publication?.key == ring.publication?.key && kept.publication?.grace == .zero)
    }

    /// What is forgotten is in no file any more, and nobody else may read what is there.
    @Test func theFileIsReplacedAndTheFormerOneOverwritten() throws {
        let scratch = try Scratch()
        let (state, _) = try ClientState.create(
            scratch.directory, relay: "http://127.0.0.1:1", deviceName: "phone", entropy: SystemEntropy(), at: start)
        var ring = try #require(try scratch.directory.readKeys())
        #expect(ring.since == start && ring.version == 1)
        let first = ring.device.agreementSecret.copyBytes()
        // Somebody who has the file open from before reads nothing in it later.
        let old = try FileHandle(forReadingFrom: URL(fileURLWithPath: scratch.directory.keysPath))
        defer { try? old.close() }
        ring.begin(grace: .seconds(1), at: start, SystemEntropy())
        try scratch.directory.write(ring)
        #expect(try #require(try old.readToEnd()).allSatisfy { $0 == 0 })
        #expect(try scratch.directory.readKeys()?.records == ring.records)
        ring.complete(version: 2, at: start)
        try scratch.directory.write(ring)
        func holdsFirst() throws -> Bool {
            try FileManager.default.contentsOfDirectory(atPath: scratch.directory.path).contains { file in
                try Data(contentsOf: URL(fileURLWithPath: "\(scratch.directory.path)/\(file)")).range(of: Data(first)) != nil
            }
        }
        #expect(try holdsFirst())
        ring.forgetFormer()
        try scratch.directory.write(ring)
        #expect(try !holdsFirst())
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.directory.keysPath)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        // A write that was cut short leaves the file as it was, and is no obstacle to the next one.
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: scratch.directory.keysPath + ".new"))
        #expect(try scratch.directory.readKeys()?.records == ring.records)
        try scratch.directory.write(ring)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.directory.path).sorted().filter { $0.hasPrefix("keys") } == ["keys"])
        _ = state
    }

    @Test func theFirstFormatIsRead() throws {
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let (seed, agreement) = secrets.copySecrets()
        let ring = try #require(KeyRing(encoded: KeyRing.firstHeader + seed + agreement))
        #expect(ring.identityKey == secrets.identityKey && ring.device.agreementKey == secrets.agreementKey && ring.version == 1)
        #expect(ring.since == Timestamp(milliseconds: 0))
    }

    @Test func damagedFilesAreRefused() throws {
        var ring = ring()
        ring.begin(grace: .seconds(100), at: start, SystemEntropy())
        ring.complete(version: 2, at: start)
        ring.begin(grace: .seconds(100), at: start, SystemEntropy())
        let bytes = ring.encoded()
        for length in 0..<bytes.count { #expect(KeyRing(encoded: Array(bytes[..<length])) == nil) }
        #expect(KeyRing(encoded: bytes + [0]) == nil)
        // Whatever else is in it, reading ends well.
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var changed = bytes
            changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            guard var read = KeyRing(encoded: changed) else { continue }
            read.forgetFormer(endedBy: start)
            _ = read.candidates(for: 1)
        }
    }

    @Test func theNumberPicksTheSecret() throws {
        var ring = ring()
        let first = ring.device.agreementKey
        ring.begin(grace: .seconds(1), at: start, SystemEntropy())
        let pending = try #require(ring.publication?.key)
        // The relay may have it, and others may have sealed for it.
        #expect(ring.candidates(for: 2).map(\.publicKey) == [first, pending])
        #expect(ring.candidates(for: 1).map(\.publicKey) == [first])
        ring.complete(version: 2, at: start)
        #expect(ring.candidates(for: 1).map(\.publicKey) == [first])
        #expect(ring.candidates(for: 2).map(\.publicKey) == [pending])
        #expect(Set(ring.candidates(for: 0).map(\.publicKey)) == [first, pending])
        #expect(Set(ring.candidates(for: 9).map(\.publicKey)) == [first, pending])
        ring.forgetFormer(endedBy: start + .milliseconds(999))
        #expect(ring.candidates(for: 1).map(\.publicKey) == [first])
        ring.forgetFormer(endedBy: start + .seconds(1))
        #expect(ring.candidates(for: 1).map(\.publicKey) == [pending])
    }

    @Test func formerOnesAreBounded() throws {
        var ring = ring()
        for version in 2...(UInt32(Limits.formerKeys) + 10) {
            ring.begin(grace: Limits.keyGrace, at: start, SystemEntropy())
            ring.complete(version: version, at: start)
        }
        #expect(ring.records.count == 1 + Limits.formerKeys)
        #expect(ring.records.last?.version == 10)
        #expect(ring.encoded().count <= KeyRing.fileBytes)
        #expect(try reread(ring).records == ring.records)
    }

    /// A device and the relay, in random orders of rotations, crashes, lost answers, time and caught-up mailboxes: for whatever the relay took and the device
    /// has not received there is a secret on the disk.
    @Test(arguments: [UInt64.random(in: 1 ... .max)]) func noOrderOfEventsLosesASecret(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            var disk = ring()
            var memory = disk
            var now = start
            // The relay: its current key, and former ones with the end of their grace.
            var relay = (key: disk.device.agreementKey, version: UInt32(1))
            var valid: [(key: [UInt8], version: UInt32, until: Timestamp)] = []
            // What was sealed and waits in the mailbox.
            var mailbox: [(key: [UInt8], version: UInt32)] = []
            func write() { disk = memory }
            for _ in 0..<60 {
                switch UInt8.random(in: 0..<8, using: &random) {
                case 0:
                    guard memory.pending == nil else { break }
                    memory.begin(grace: .seconds([0, 10, 1000].randomElement(using: &random) ?? 0), at: now, SystemEntropy())
                    write()
                case 1, 2:
                    // The request reaches the relay; its answer may not come back.
                    guard let (key, _, grace) = memory.publication else { break }
                    if key != relay.key {
                        valid.append((relay.key, relay.version, now + grace))
                        relay = (key, relay.version + 1)
                    }
                    guard Bool.random(using: &random) else { break }
                    memory.complete(version: relay.version, at: now)
                    write()
                case 3: memory = try reread(disk)
                case 4: now = now + .seconds(Int.random(in: 1...20, using: &random))
                case 5, 6:
                    // Somebody sends, with any key that the relay takes.
                    let takes = valid.filter { $0.until > now }.map { (key: $0.key, version: $0.version) } + [relay]
                    mailbox.append(takes.randomElement(using: &random) ?? relay)
                default:
                    // The device connects and receives all.
                    let connected = now
                    for message in mailbox {
                        #expect(memory.candidates(for: message.version).contains { $0.publicKey == message.key }, "seed \(seed)")
                    }
                    mailbox = []
                    memory.forgetFormer(endedBy: connected)
                    write()
                }
                let onDisk = try reread(disk)
                for message in mailbox {
                    #expect(onDisk.candidates(for: message.version).contains { $0.publicKey == message.key }, "seed \(seed)")
                }
            }
        }
    }
}
