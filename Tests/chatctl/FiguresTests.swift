import RelayControl
import Testing

@testable import ChatctlCommands

@Suite struct FiguresTests {
    @Test(arguments: [
        (0, "0 s"), (1_499, "1 s"), (89_000, "89 s"), (119_000, "2 min"), (120_000, "2 min"), (5_399_000, "90 min"), (7_200_000, "2 h"),
        (86_399_000, "24 h"),
        (172_800_000, "2 d"), (-5000, "0 s"),
    ])
    func spans(milliseconds: Int, shown: String) { #expect(Figures.span(.milliseconds(milliseconds)) == shown) }

    @Test(arguments: [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_610_612_736, "1.5 GiB"), (Int.max, "8388608.0 TiB")])
    func bytes(count: Int, shown: String) { #expect(Figures.bytes(count) == shown) }

    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (Int.min, "-9,223,372,036,854,775,808")])
    func counts(value: Int, shown: String) { #expect(Figures.count(value) == shown) }

    @Test func decimals() {
        #expect(Figures.decimal(1.25, digits: 1) == "1.3")
        #expect(Figures.decimal(-0.04, digits: 1) == "0.0")
        #expect(Figures.decimal(3.14159, digits: 3) == "3.142")
        #expect(Figures.decimal(2.5, digits: 0) == "3")
        #expect(Figures.decimal(.nan, digits: 1) == "nan")
    }

    @Test func widths() {
        #expect(DisplayWidth.of("abc") == 3)
        #expect(DisplayWidth.of("陽子") == 4)
        #expect(DisplayWidth.of("e\u{301}") == 1)
        #expect(DisplayWidth.of("👩‍👩‍👧") == 2)
        #expect(DisplayWidth.of("שלום") == 4)
    }

    @Test(arguments: [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000)])
    func lifetimes(text: String, seconds: Int) { #expect(Lifetime(argument: text)?.seconds == seconds) }

    @Test(arguments: ["", "h", "0h", "-1h", "1", "1.5h", "1w", "99999999999d", "１h"])
    func wrongLifetimes(text: String) { #expect(Lifetime(argument: text) == nil) }

    @Test func controlCharactersBecomeVisible() {
        #expect(Printable.line("a\u{1B}[31mb\u{9B}\n\u{202E}") == "a\\u{1B}[31mb\\u{9B}\\u{A}\\u{202E}")
        #expect(Printable.line("é🦊שלום") == "é🦊שלום")
    }
}
