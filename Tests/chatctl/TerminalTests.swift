import RelayControl
import RelayModel
import Testing

@testable import ChatctlCommands

/// What is shown on terminals that are narrow, or take ASCII only, and to who mistypes a command.
@Suite struct TerminalTests {
    private static let users = [
        UserRecord(
            id: UserID(382_364_223_419_711_488), name: "alice", displayName: "Alice Ünsal",
            avatar: "https://example.org/a/very/long/address/of/a.png",
            createdAt: Golden.now, devices: [], openInvites: 1),
        UserRecord(
            id: UserID(382_364_223_419_711_489), name: "bot", displayName: nil, avatar: nil, createdAt: Golden.now, devices: [], openInvites: 0,
            suspendedAt: Golden.now, suspendedReason: "it sent “too much” on the weekend, and nobody knows who has it", noLimits: true),
    ]

    private func text(columns: Int?, ascii: Bool = false, _ build: (inout Page) -> Void) throws -> String {
        var output = Output(json: false, color: false, terminal: columns != nil, now: Golden.now)
        output.columns = columns
        output.ascii = ascii
        return try output.text(0, page: build)
    }

    @Test(arguments: [40, 60]) func narrow(columns: Int) throws {
        try Golden.compare(try text(columns: columns) { $0.users(Self.users) }, "narrow-\(columns)-users.txt")
        try Golden.compare(try text(columns: columns) { $0.user(Self.users[1]) }, "narrow-\(columns)-user.txt")
        let report = CheckReport([
            CheckFinding(group: .disk, check: "space", result: .good, text: "12 GiB of 20 GiB are free below /var/lib/relayd", advice: nil),
            CheckFinding(
                group: .host, check: "purge", result: .warning, text: "nobody takes care of what is old", advice: "chatctl retention run --dry-run"),
        ])
        try Golden.compare(try text(columns: columns) { $0.check(report) }, "narrow-\(columns)-check.txt")
        // Only what cannot be broken is longer than the terminal.
        for line in try text(columns: columns, { $0.users(Self.users) }).split(separator: "\n") { #expect(DisplayWidth.of(String(line)) <= columns) }
    }

    @Test func othersAreNotTouched() throws {
        let plain = try text(columns: nil) { $0.users(Self.users) }
        for columns in [80, 200] { #expect(try text(columns: columns) { $0.users(Self.users) } == plain) }
        #expect(try text(columns: 40) { $0.users([]) }.split(separator: "\n").count == 1)
        #expect(try text(columns: 79) { $0.table(["A", "B"], [["1", "2"]]) } == "A  B\n1  2\n")
    }

    @Test func signsHaveSubstitutes() throws {
        #expect(PlainText.of("“a” → b… ±3 µs ≤ 4 — Ünsal") == "\"a\" -> b... +-3 us <= 4 - Ünsal")
        let shown = try text(columns: nil, ascii: true) { page in
            page.table(["KEY", .init("±", .right)], [["a", "1"], [Cell("→", quoted: true), "…"]])
            page.pairs([("ε", "µ")])
            page.line("█")
        }
        #expect(shown == "KEY   +-\na      1\n→    ...\neps  u\n#\n")
    }

    @Test func codesFitOrAreLeftOut() throws {
        let link = "https://chat.example.org/enrol#5V8ZR-RX8WV-8ARR9-FYRZ8-TX85A-G"
        let code = try QRCode.render(link, color: false)
        let width = DisplayWidth.of(String(code.prefix { $0 != "\n" }))
        #expect(try QRCode.render(link, color: false, columns: width) == code)
        #expect(try QRCode.render(link, color: false, columns: width - 1).contains("would need \(width) columns"))
        for color in [false, true] {
            let plain = try QRCode.render(link, color: color, ascii: true, columns: 2 * width)
            #expect(plain.utf8.allSatisfy { $0 < 0x80 } && plain.split(separator: "\n").count == width)
        }
        // The same modules.
        let halves = code.split(separator: "\n").flatMap { line -> [String] in
            [line.map { "█▀".contains($0) ? "##" : "  " }.joined(), line.map { "█▄".contains($0) ? "##" : "  " }.joined()]
        }
        let plain = try QRCode.render(link, color: false, ascii: true).split(separator: "\n").map(String.init)
        #expect(Array(halves.prefix(plain.count)) == plain)
    }

    @Test(
        arguments: [
            ("usr list", "chatctl usr", "chatctl user list"), ("user lst", "chatctl user lst", "chatctl user list"),
            ("users", "chatctl users", "chatctl user"), ("user delete bob", "chatctl user delete", "chatctl user remove bob"),
            ("add user bob", "chatctl add", "chatctl user add bob"),
            ("backup restore aply x", "chatctl backup restore aply", "chatctl backup restore apply x"),
            ("client snd bob a&b", "chatctl client snd", "chatctl client send bob 'a&b'"),
            ("stauts --json", "chatctl stauts", "chatctl status --json"),
            ("nonsense", "chatctl nonsense", nil), ("user frobnicate", "chatctl user frobnicate", nil),
        ] as [(String, String, String?)]) func whatWasMeant(line: String, unknown: String, meant: String?)
    {
        let nearest = NearestCommand(line.split(separator: " ").map(String.init))
        #expect(nearest?.unknown == unknown && nearest?.meant == meant, "\(String(describing: nearest))")
    }

    @Test(arguments: ["user list", "user add", "status x", "help usr", "user --json", "", "backup restore plan x y"]) func aCommandThatThereIs(
        line: String
    ) {
        #expect(NearestCommand(line.split(separator: " ").map(String.init)) == nil)
    }
}
