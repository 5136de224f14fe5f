import RelayTestSupport
import Testing

/// The judge of the crash test must itself be shown to convict.
@Suite("History checker") struct HistoryCheckerTests {
    typealias Key = HistoryChecker.Key
    typealias Place = HistoryChecker.Place

    /// Alice writes two messages, both are answered; `deliver` says what bob's phone shows.
    static func run(_ deliver: (HistoryChecker, [Key], [Place]) -> Void) -> [String] {
        let checker = HistoryChecker()
        let keys = [1, 2].map { Key(sender: "alice", clientMessageID: $0) }
        let places = [1, 2].map { Place(chat: 7, chatSeq: $0, messageID: 100 + $0) }
        for (key, place) in zip(keys, places) {
            checker.wrote(key, text: key.description, for: ["bob"])
            checker.answered(key, place)
        }
        deliver(checker, keys, places)
        return checker.violations()
    }

    @Test func aFaithfulRunIsAcquitted() {
        #expect(
            Self.run { checker, keys, places in
                for (key, place) in zip(keys, places) { checker.delivered(to: "bob", key, place, text: key.description) }
                checker.answered(keys[0], places[0])
            }.isEmpty)
    }

    @Test func aLossIsFound() {
        #expect(
            Self.run { checker, keys, places in checker.delivered(to: "bob", keys[0], places[0], text: "alice #1") }
                == ["bob never got alice #2, which was answered with sent"])
    }

    @Test func aDuplicateIsFound() {
        let found = Self.run { checker, keys, places in
            for index in [0, 1, 1] { checker.delivered(to: "bob", keys[index], places[index], text: keys[index].description) }
        }
        #expect(found == ["bob was shown alice #2 twice"])
    }

    @Test func aWrongOrderIsFound() {
        let found = Self.run { checker, keys, places in
            for index in [1, 0] { checker.delivered(to: "bob", keys[index], places[index], text: keys[index].description) }
        }
        #expect(found.count == 2)
    }

    @Test func anotherAnswerToARetryIsFound() {
        let found = Self.run { checker, keys, places in
            for (key, place) in zip(keys, places) { checker.delivered(to: "bob", key, place, text: key.description) }
            checker.answered(keys[0], Place(chat: 7, chatSeq: 3, messageID: 103))
        }
        #expect(found.count == 1)
    }

    @Test func anotherTextOrPlaceIsFound() {
        let found = Self.run { checker, keys, places in
            checker.delivered(to: "bob", keys[0], places[0], text: "something else")
            checker.delivered(to: "bob", keys[1], Place(chat: 7, chatSeq: 9, messageID: 102), text: "alice #2")
        }
        #expect(found.count == 2)
    }
}
