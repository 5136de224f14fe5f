import Foundation
import RelayModel

@testable import RelayCrypto

/// The worked example that relay-protocol(7) prints: `name = hex`, longer values continued on indented lines.
struct Vectors {
    private var values: [String: [UInt8]] = [:]

    struct Broken: Error { var line: String }

    init() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("vectors.txt")
        var name = ""
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where !line.hasPrefix("#") {
            var hex = line.trimmingPrefix("    ")
            if !line.hasPrefix(" ") {
                let parts = line.split(separator: " = ")
                guard parts.count == 2 else { throw Broken(line: String(line)) }
                name = String(parts[0])
                hex = parts[1]
                values[name] = []
            }
            guard let bytes = Vectors.bytes(hex) else { throw Broken(line: String(line)) }
            values[name, default: []] += bytes
        }
    }

    private static func bytes(_ hex: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = hex
        while !rest.isEmpty {
            guard rest.count > 1, let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    subscript(name: String) -> [UInt8] { values[name] ?? [] }

    func number(_ name: String) -> UInt64 { self[name].reduce(0) { $0 << 8 | UInt64($1) } }

    func header(_ prefix: String) -> EnvelopeHeader {
        EnvelopeHeader(
            chat: ChatID(number("\(prefix).chat")), senderUser: UserID(number("\(prefix).sender.user")),
            senderDevice: DeviceID(number("\(prefix).sender.device")), clientMessageID: number("\(prefix).client.message.id"))
    }

    func secrets(_ name: String) throws -> DeviceSecrets {
        try DeviceSecrets(identitySeed: self["\(name).identity.seed"], agreementSecret: self["\(name).agreement.secret"])
    }
}

/// Yields bytes that were fixed beforehand, in order.
final class FixedEntropy: Entropy, @unchecked Sendable {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    func bytes(_ count: Int) -> [UInt8] {
        precondition(rest.count >= count, "the fixed bytes are used up")
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
}

/// Bytes from a printed seed.
final class SeededEntropy: Entropy, @unchecked Sendable {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) } }
}
