import RelayModel
import Testing

@Suite struct UserNameTests {
    @Test(arguments: [
        ("Alice", "alice"), ("STRASSE", "strasse"), ("Straße", "strasse"), ("e\u{301}va", "\u{e9}va"), ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("Жанна", "жанна"), ("田中", "田中"), ("bob.smith-2_x", "bob.smith-2_x"),
    ])
    func normalises(typed: String, expected: String) throws {
        #expect(Array(try UserName(typed).text.utf8) == Array(expected.utf8))
    }

    @Test func normalisingTwiceChangesNothing() throws {
        for typed in ["Straße", "İstanbul", "ΣΊΣΥΦΟΣ", "ﬁne", "ǅ"] {
            let once = try UserName(typed)
            #expect(try UserName(once.text) == once, "\(typed)")
        }
    }

    @Test(arguments: ["", " ", "a b", "a/b", "a\n", "\u{202e}evil", ".alice", "alice-", "a@b", "🙂", "\0", "a\u{200b}b"])
    func refuses(typed: String) {
        #expect(throws: UserName.Invalid.self) { try UserName(typed) }
    }

    @Test func boundsTheLength() throws {
        #expect(try UserName(String(repeating: "é", count: 64)).text.count == 64)
        #expect(throws: UserName.Invalid.tooLong(characters: 65)) { try UserName(String(repeating: "a", count: 65)) }
    }
}

@Suite struct StampTests {
    @Test func risesWhenTheClockStepsBack() {
        var source = StampSource(after: Stamp(rawValue: 0))
        let late = source.next(at: Timestamp(milliseconds: 1_800_000_000_000))
        let early = source.next(at: Timestamp(milliseconds: 1_700_000_000_000))
        #expect(late < early)
        #expect(late.time == Timestamp(milliseconds: 1_800_000_000_000))
    }

    @Test func continuesAboveTheLastOne() {
        let last = Stamp(rawValue: 1 << 60)
        var source = StampSource(after: last)
        #expect(source.next(at: Timestamp(milliseconds: 0)).rawValue == last.rawValue + 1)
    }
}

@Suite struct TimestampTests {
    /// Others say what time they have.
    @Test func everyTimeHasAText() {
        #expect(Timestamp(milliseconds: -1).description == "1969-12-31T23:59:59.999Z")
        for milliseconds in [Int64.min, .min + 1, -86_400_000, .max] { #expect(Timestamp(milliseconds: milliseconds).description.hasSuffix("Z")) }
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_704_067_200_000, "2024-01-01T00:00:00.000Z"), (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func isWrittenAndReadBack(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text) == Timestamp(milliseconds: milliseconds))
    }

    @Test func readsBackWhatItWrites() {
        let seed: UInt64 = 20_261_121
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let time = Timestamp(milliseconds: Int64.random(in: 0...4_102_444_799_999, using: &generator))
            #expect(Timestamp(time.description) == time, "seed \(seed)")
        }
    }

    @Test(arguments: [
        "", "2024-01-01", "2024-13-01T00:00:00.000Z", "2024-01-01T24:00:00.000Z", "2024-01-01T00:00:00.000+", "×024-01-01T00:00:00.000",
    ])
    func refuses(text: String) { #expect(Timestamp(text) == nil) }
}

@Suite struct IdentifierTests {
    @Test(arguments: ["", "0", "-1", "+1x", "9223372036854775808", "99999999999999999999", "1.0", " 1"])
    func refuses(text: String) { #expect(UserID(text) == nil) }

    @Test func takesTheWholeRange() {
        #expect(UserID("1")?.rawValue == 1)
        #expect(UserID("9223372036854775807")?.rawValue == UInt64(Int64.max))
    }
}

@Suite struct SlotTests {
    @Test func neighboursSpread() {
        var loads = [Int](repeating: 0, count: Slot.count)
        for id in 1...102_400 { loads[Slot(of: UserID(UInt64(id))).number] += 1 }
        // 100 expected in each; six standard deviations are 60.
        #expect(loads.allSatisfy { (40...160).contains($0) })
    }

    @Test func neverChanges() {
        #expect(Slot(of: UserID(1)).number == 485)
        #expect(Slot(of: ChatID(1)).number == Slot(of: UserID(1)).number)
    }
}
