import Foundation
import RelayControl
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// The search of an audit, over pieces of any size.
@Suite(.timeLimit(.minutes(10))) struct PrivacyScanTests {
    private func canaries(_ texts: [String], in bytes: [UInt8], piece: Int) -> [String] {
        var scan = CanaryScan(Canaries(texts))
        var hits: [String] = []
        var rest = bytes[...]
        while true {
            let next = Array(rest.prefix(piece))
            rest = rest.dropFirst(next.count)
            next.withUnsafeBytes { bytes in scan.take(bytes) { hits.append("\($0):\($1):\($2)") } }
            if next.isEmpty { return hits }
        }
    }

    @Test(arguments: [1, 2, 3, 7, 64, 1 << 20])
    func canariesAreFoundAcrossPieces(piece: Int) {
        let text = "first line\nhere is AliceSecret and more\n\nalicesecret"
        #expect(canaries(["alicesecret"], in: Array(text.utf8), piece: piece) == ["2:19:1", "4:41:1"])
        #expect(canaries(["absent text"], in: Array(text.utf8), piece: piece).isEmpty)
        #expect(canaries(["line", "more"], in: Array(text.utf8), piece: piece) == ["1:6:1", "2:35:2"])
    }

    @Test func everyFormOfANumberAndAKeyIsFound() {
        let number: UInt64 = 382_364_223_419_711_488
        let big = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
        let forms: [[UInt8]] = [
            Array("id=\(number)".utf8), Array("id=\(String(number, radix: 16))".utf8), Array("ID=\(String(number, radix: 16, uppercase: true))".utf8),
            Array(CrockfordBase32.encode(big, group: 64).utf8), big, big.reversed(),
        ]
        for form in forms { #expect(!canaries(["\(number)"], in: [0, 255] + form + [0], piece: 5).isEmpty, "\(form)") }
        #expect(canaries(["\(number)"], in: Array("\(number + 1)".utf8), piece: 5).isEmpty)
        let key = (0..<32).map { UInt8($0 * 7) }
        let hexadecimal = key.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        for form in [key, Array(Data(key).base64EncodedString().utf8), Array(hexadecimal.utf8)] {
            #expect(canaries([hexadecimal], in: form, piece: 9).count == 1)
        }
        #expect(!canaries(["5V8ZR-RX8WV"], in: Array("5v8zrrx8wv".utf8), piece: 9).isEmpty)
    }

    @Test func valuesOfWords() {
        #expect(IdentityScan.values(of: "382364223419711488") == [382_364_223_419_711_488])
        #expect(IdentityScan.values(of: "54e6d3a5f800000").contains(0x54e_6d3a_5f80_0000))
        #expect(IdentityScan.values(of: "1234567890").isEmpty)
    }

    @Test func theStoreSaysWhatIsOne() throws {
        let directory = try TemporaryDirectory()
        let database = try Database(path: directory.file("relay.db"), access: .readWriteCreate)
        for (table, column) in [
            ("devices", "device_id"), ("chats", "chat_id"), ("messages", "message_id"), ("invites", "invite_id"),
        ] {
            try database.execute("CREATE TABLE \(table) (\(column) INTEGER PRIMARY KEY)")
        }
        try database.execute("CREATE TABLE users (user_id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        try database.execute(
            "INSERT INTO users VALUES (382364223419711488, 'alice'), (382364223419711489, 'mary-jane'), (382364223419711490, 'ready'), (3, 'al')")
        try database.execute("INSERT INTO devices VALUES (382364223419711500)")
        let scan = try IdentityScan(database, addresses: ["127.0.0.1:8480", "[::1]:9464"], ignored: ["Ready"])
        func found(_ text: String, piece: Int = 7) throws -> [String] {
            scan.begin()
            var hits: [String] = []
            var rest = Array(text.utf8)[...]
            while true {
                let next = Array(rest.prefix(piece))
                rest = rest.dropFirst(next.count)
                try next.withUnsafeBytes { bytes in try scan.take(bytes) { hits.append("\($0) \($1)") } }
                if next.isEmpty { return hits }
            }
        }
        #expect(try found("a line\nuser=Alice sent\n") == ["2 a user's name"])
        #expect(try found("path=/v1/users/mary-jane/x\nb\nalice.phone") == ["1 a user's name", "3 a user's name"])
        #expect(try found("device 382364223419711500, and") == ["1 a device's number"])
        #expect(try found("id=\(String(382_364_223_419_711_500, radix: 16))") == ["1 a device's number"])
        #expect(try found("ready al malice alicex 382364223419711501 2026-11-21T09:30:00.250Z info").isEmpty)
        #expect(try found("listening on 127.0.0.1:8480 and [::1]:9464, version 2.101.2, 17:28:26").isEmpty)
        for address in ["127.0.0.1:55123", "192.0.2.7", "peer=192.0.2.7:443", "2001:db8::7", "[2001:db8::7]:443", "fe80::1"] {
            #expect(try found("from \(address) came") == ["1 an address"], "\(address)")
        }
        #expect(try found(String(repeating: "x ", count: 100_000) + "alice", piece: 4096).count == 1, "a line without end")
    }

    @Test(arguments: [
        ("core", true), ("core.4711", true), ("relayd.core", true), ("core.relayd.0.zst", true), ("core.swift", false), ("score", false),
    ])
    func coreNames(name: String, isCore: Bool) { #expect(CoreChecks.isCore(name) == isCore) }

    private func findings(_ check: (inout PrivacyReport.Findings) throws(PrivacySkip) -> String) -> PrivacyReport {
        var report = PrivacyReport()
        report.check("x", check)
        return report
    }

    /// A process in a folder of its own in the place of /proc.
    @Test func coreSettings() throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: directory.file("7"), withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: directory.file("sys/kernel"), withIntermediateDirectories: true)
        func state(limit: String, pattern: String, uid: uid_t = geteuid()) throws -> (PrivacyReport.State?, String) {
            try "Limit  Soft Limit\nMax core file size        \(limit)                    \(limit)                    bytes\n"
                .write(toFile: directory.file("7/limits"), atomically: false, encoding: .utf8)
            try "Name:\trelayd\nUid:\t\(uid)\t\(uid)\t\(uid)\t\(uid)\n".write(toFile: directory.file("7/status"), atomically: false, encoding: .utf8)
            try "\(pattern)\n".write(toFile: directory.file("sys/kernel/core_pattern"), atomically: false, encoding: .utf8)
            let checks = CoreChecks(processID: 7, storePath: "/nowhere/relay.db", proc: directory.path)
            let report = findings { found throws(PrivacySkip) in try checks.settings(&found) }
            return (report.checks.first?.state, report.checks.first?.detail ?? "")
        }
        #expect(try state(limit: "0", pattern: "core").0 == .clean)
        #expect(try state(limit: "unlimited", pattern: "core").0 == .found)
        #expect(try state(limit: "1048576", pattern: "core").0 == .found)
        #expect(try state(limit: "0", pattern: "|/usr/lib/systemd/systemd-coredump %P").0 == .clean)
        #expect(try state(limit: "0", pattern: "|/opt/catcher %p").0 == .found)
        let missing = CoreChecks(processID: 8, storePath: "/nowhere/relay.db", proc: directory.path)
        #expect(findings { found throws(PrivacySkip) in try missing.settings(&found) }.checks.first?.state == .skipped)
    }

    @Test func reportsAreBounded() {
        let report = findings { found throws(PrivacySkip) in
            for number in 0..<(Limits.auditFindings + 10) { found.add("\(number)", "x") }
            return ""
        }
        #expect(report.findings.count == Limits.auditFindings && report.findingCount == Limits.auditFindings + 10)
    }
}
