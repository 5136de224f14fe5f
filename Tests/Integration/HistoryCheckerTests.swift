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

    @Test func twoMessagesAtOnePlaceAreFound() {
        let found = Self.run { checker, keys, places in
            for (key, place) in zip(keys, places) { checker.delivered(to: "bob", key, place, text: key.description) }
            let forged = Key(sender: "carol", clientMessageID: 1)
            checker.wrote(forged, text: "hello", for: [])
            checker.delivered(to: "dave", forged, places[0], text: "hello")
        }
        #expect(found == ["chat 7 place 1 (message 101) is that of alice #1 and that of carol #1"])
    }

    // MARK: Groups

    /// Alice makes a group with bob (place 1), writes (2), adds carol (3), writes (4), removes bob (5), writes (6). `shown` says which places
    /// each of the others gets.
    static func group(shown: [String: [UInt64]], change: (HistoryChecker, [Key]) -> Void = { _, _ in }) -> [String] {
        let checker = HistoryChecker()
        let keys = (1...6).map { Key(sender: "alice", clientMessageID: $0) }
        for user in ["alice", "bob", "carol"] { checker.owns(user, device: "\(user).phone") }
        for (key, place) in zip(keys, 1...) {
            checker.wroteToGroup(key, text: "event \(place)", from: "alice.phone")
            checker.answered(key, Place(chat: 9, chatSeq: UInt64(place), messageID: 100 + UInt64(place)))
        }
        checker.joined("alice", group: 9, at: 1)
        checker.joined("bob", group: 9, at: 1)
        checker.joined("carol", group: 9, at: 3)
        checker.left("bob", group: 9, at: 5)
        for (device, places) in shown {
            for place in places {
                checker.delivered(
                    to: device, keys[Int(place) - 1], Place(chat: 9, chatSeq: place, messageID: 100 + place), text: "event \(place)")
            }
        }
        change(checker, keys)
        return checker.violations()
    }

    @Test func membersGetWhatIsTheirs() {
        #expect(Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [3, 4, 5, 6]]).isEmpty)
    }

    @Test func aMessageFromBeforeTheJoiningIsFound() {
        #expect(
            Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [2, 3, 4, 5, 6]])
                == ["carol.phone was shown alice #2 at place 2 of group 9, where carol was no member"])
    }

    @Test func aMessageFromAfterTheRemovalIsFound() {
        #expect(
            Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5, 6], "carol.phone": [3, 4, 5, 6]])
                == ["bob.phone was shown alice #6 at place 6 of group 9, where bob was no member"])
    }

    @Test func aMissedRemovalIsFound() {
        #expect(
            Self.group(shown: ["bob.phone": [1, 2, 3, 4], "carol.phone": [3, 4, 5, 6]])
                == ["bob.phone never got alice #5 at place 5 of group 9, where bob was a member"])
    }

    @Test func aMessageThatOnlySomeMembersGotIsFoundEvenUnanswered() {
        let found = Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [3, 4, 5, 6]]) { checker, _ in
            checker.owns("dave", device: "dave.phone")
            checker.joined("dave", group: 9, at: 7)
            let key = Key(sender: "alice", clientMessageID: 7)
            checker.wroteToGroup(key, text: "event 7", from: "alice.phone")
            checker.delivered(to: "dave.phone", key, Place(chat: 9, chatSeq: 7, messageID: 107), text: "event 7")
        }
        #expect(found == ["carol.phone never got alice #7 at place 7 of group 9, where carol was a member"])
    }

    @Test func aSecondMembershipCountsAsWell() {
        let found = Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [3, 4, 5, 6]]) { checker, _ in
            checker.joined("bob", group: 9, at: 6)
        }
        #expect(found == ["bob.phone never got alice #6 at place 6 of group 9, where bob was a member"])
    }

    @Test func aPlaceThatNobodyKnowsOfIsFound() {
        let found = Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [3, 4, 5, 6]]) { checker, _ in
            checker.left("carol", group: 9, at: 6)
            let key = Key(sender: "alice", clientMessageID: 8)
            checker.wroteToGroup(key, text: "event 8", from: "alice.phone")
            checker.answered(key, Place(chat: 9, chatSeq: 8, messageID: 108))
        }
        #expect(found == ["nothing is known of place 7 of group 9, which has later ones"])
    }

    @Test func whoIsNoMemberCannotLeave() {
        let found = Self.group(shown: ["bob.phone": [1, 2, 3, 4, 5], "carol.phone": [3, 4, 5, 6]]) { checker, _ in
            checker.left("bob", group: 9, at: 6)
        }
        #expect(found == ["bob left group 9 at place 6 without being a member"])
    }

    @Test func anotherOrderForOneMemberIsFound() {
        let found = Self.group(shown: ["bob.phone": [1, 2, 4, 3, 5], "carol.phone": [3, 4, 5, 6]])
        #expect(found.contains("bob.phone was shown alice #3 at chat 9 place 3 (message 103) behind place 4"))
    }
}
