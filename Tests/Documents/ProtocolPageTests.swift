import Foundation
import RelayModel
import RelayWire
import Testing

/// What relay-protocol(7) prints is what the code does.
@Suite struct ProtocolPageTests {
    private let page: [Substring]
    private let root: URL

    init() throws {
        root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        page = try String(contentsOf: root.appendingPathComponent("man/relay-protocol.7"), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// `.It Er too_large No (HTTP 413, close 1009)`
    @Test func errorCodes() {
        let listed = page.filter { $0.hasPrefix(".It Er ") }.map(String.init).sorted()
        let expected = ErrorCode.allCases.map { code in
            ".It Er \(code.rawValue) No (HTTP \(code.httpStatus)\(code.closeCode.map { ", close \($0)" } ?? ""))"
        }
        #expect(listed == expected.sorted())
    }

    /// The worked example stands in the page as it stands in the file that the cryptography's tests read.
    @Test func workedExample() throws {
        let file = try String(contentsOf: root.appendingPathComponent("Tests/Common/Crypto/vectors.txt"), encoding: .utf8)
        let values = Self.values(in: file.split(separator: "\n", omittingEmptySubsequences: false))
        #expect(values.count > 40)
        #expect(Self.values(in: page) == values)
    }

    @Test(arguments: ["relay.proto", "client.proto"]) func schema(name: String) throws {
        let file = try String(contentsOf: root.appendingPathComponent("Sources/Common/Wire/\(name)"), encoding: .utf8)
        var lines = file.split(separator: "\n", omittingEmptySubsequences: false)
        while lines.last?.isEmpty == true { lines.removeLast() }
        let first = try #require(lines.first)
        let starts = page.indices.filter { page[$0] == first }
        #expect(starts.contains { Array(page[$0...].prefix(lines.count)) == lines }, "copy \(name) into SCHEMA again")
    }

    @Test func limits() {
        func number(_ value: Int) -> String {
            let digits = Array(String(value))
            var text = ""
            for (index, digit) in digits.enumerated() {
                if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
                text.append(digit)
            }
            return text
        }
        let lines = page.filter { $0.hasPrefix(".It ") }
        func expect(_ line: String) { #expect(lines.contains(line[...]), "LIMITS lacks: \(line)") }
        expect(".It body of a message * Ta \(number(Limits.bodyBytes)) bytes, at most \(number(Limits.bodyBytesCeiling))")
        expect(".It wrapped keys of a send, together Ta \(number(Limits.keyRoomBytes)) bytes")
        expect(".It devices of a user * Ta \(Limits.devicesPerUser), at most \(Limits.devicesPerUserCeiling)")
        expect(".It REST body, other than a send Ta \(number(Limits.restBodyBytes)) bytes")
        expect(".It page Ta \(Limits.pageSize) entries by default, at most \(Limits.pageSizeCeiling), and about \(Limits.pageBytes >> 20) MiB")
        expect(".It user name Ta \(Limits.userNameCharacters) characters")
        expect(".It device name Ta \(Limits.deviceNameCharacters) characters")
        expect(".It unacknowledged envelopes of a connection Ta \(Limits.unacknowledgedEnvelopes)")
        expect(".It envelopes in a Deliver frame Ta \(Limits.drainPageEnvelopes), about \(Limits.drainPageBytes >> 10) KiB of bodies")
        expect(".It sends of a connection that wait for the disk Ta \(Limits.sendsInFlight), then the relay reads no further")
        expect(".It request head Ta \(Limits.requestHeadTimeout.components.seconds) seconds")
        expect(".It challenge Ta \(Limits.challengeLifetime.components.seconds) seconds")
        expect(".It one-time prekeys of a device, and in an upload Ta \(Limits.oneTimePrekeys)")
        let (grace, ceiling) = (Limits.keyGrace.components.seconds / 86_400, Limits.keyGraceCeiling.components.seconds / 86_400)
        expect(".It grace of replaced keys Ta \(grace) days by default, at most \(ceiling) days; \(Limits.formerKeys) of a kind")
        expect(".It messages of a chat that a client asks for again in an hour Ta \(Limits.resendRequests)")
        expect(".It messages that a client sends again in an hour Ta \(Limits.resendAnswers)")
        expect(".It age of a client's agreement key Ta \(Limits.agreementKeyAge.components.seconds / 86_400) days")
        #expect(Limits.resendWindow == .seconds(3600))
        let (step, whole) = (Limits.linkLifetime.components.seconds / 60, Limits.linkDuration.components.seconds / 60)
        expect(".It link Ta \(step) minutes for each step, \(whole) minutes in all; \(Limits.linksPerUser) of a user")
        let (part, parts) = (number(Limits.linkPartBytes), number(Limits.linkParts))
        expect(".It part of a link Ta \(part) bytes sealed, \(Limits.linkPartsHeld) that are not fetched, \(parts) in all")
        expect(".It hello, answer and receipt of a link Ta \(number(Limits.linkMessageBytes)) bytes sealed")
        let burst = Limits.burstSeconds
        expect(".It messages of a device * Ta \(Limits.messagesPerDevice) a second, \(number(Limits.messagesPerDevice * burst)) at once")
        expect(".It messages of a user * Ta \(Limits.messagesPerUser) a second, \(number(Limits.messagesPerUser * burst)) at once")
        expect(".It token * Ta \(Limits.tokenLifetime.components.seconds / 60) minutes")
    }

    /// `name = hex`, longer values continued on indented lines.
    private static func values(in lines: [Substring]) -> [String: String] {
        func isHex(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } }
        var values: [String: String] = [:]
        var name: String?
        for line in lines {
            let parts = line.split(separator: " = ", omittingEmptySubsequences: false)
            if parts.count == 2, !parts[0].contains(" "), isHex(parts[1]) {
                name = String(parts[0])
                values[String(parts[0])] = String(parts[1])
            } else if let known = name, line.hasPrefix("    "), isHex(line.dropFirst(4)) {
                values[known, default: ""] += line.dropFirst(4)
            } else {
                name = nil
            }
        }
        return values
    }
}
