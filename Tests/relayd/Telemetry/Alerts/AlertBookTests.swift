import RelayModel
import RelayStorage
import Testing

@testable import RelayTelemetry

private let start = Timestamp(milliseconds: 1_800_000_000_000)
private let alice = AlertSubject.user(UserID(1))
private let bob = AlertSubject.user(UserID(2))

private func book(_ rows: [AlertRow] = []) -> AlertBook {
    AlertBook(rows, rules: Dictionary(uniqueKeysWithValues: AlertKind.allCases.map { ($0, $0.rule) }))
}

@Suite struct AlertBookTests {
    @Test func anEventIsAnAlertOfItsOwnForEachSubject() throws {
        var book = book()
        let first = book.note(AlertEvent(.highSendRate, about: alice, figure: 3000), count: 1, at: start)
        guard case .began(let row)? = first else { throw Unexpected() }
        #expect(row.id == 1 && row.subject == alice && row.count == 1 && row.figure == 3000 && row.overAt == nil)
        #expect(book.note(AlertEvent(.highSendRate, about: alice, figure: 4000), count: 2, at: start + .seconds(5)) == nil)
        #expect(book.note(AlertEvent(.highSendRate, about: bob), count: 1, at: start + .seconds(5))?.row.id == 2)
        #expect(book.rows.map(\.count) == [1, 3])
        #expect(book.rows[1].figure == 4000 && book.rows[1].lastAt == start + .seconds(5))
    }

    @Test func someEventsAreAnAlertOnlyWhenTheyAddUp() {
        var book = book()
        let event = AlertEvent(.outOfOrder, about: alice)
        for number in 1...9 { #expect(book.note(event, count: 1, at: start + .seconds(number)) == nil) }
        #expect(book.rows.isEmpty)
        let began = book.note(event, count: 1, at: start + .seconds(10))
        #expect(began?.row.count == 10 && began?.row.firstAt == start + .seconds(1))
        // And not when they are too far apart.
        var slow = AlertBook([], rules: [.outOfOrder: AlertKind.outOfOrder.rule])
        for number in 0..<30 {
            let at = start + .seconds(3600 * number)
            #expect(slow.tick(at: at).isEmpty)
            #expect(slow.note(event, count: 1, at: at) == nil)
        }
    }

    @Test func itIsOverWhenNothingHappensAnyMore() {
        var book = book()
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start)
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start + .seconds(300))
        #expect(book.tick(at: start + .seconds(899)).isEmpty)
        let turns = book.tick(at: start + .seconds(900))
        #expect(turns.map(\.row.overAt) == [start + .seconds(900)])
        // What comes later is another alert.
        #expect(book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start + .seconds(901))?.row.id == 2)
    }

    @Test func whatIsPutRightIsOver() {
        var book = book()
        _ = book.note(AlertEvent(.certificateRefused), count: 1, at: start)
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start)
        for number in 1...9 { _ = book.note(AlertEvent(.outOfOrder, about: bob), count: 1, at: start + .seconds(number)) }
        #expect(book.settle(.certificateRefused, at: start + .seconds(20)).map(\.row.overAt) == [start + .seconds(20)])
        #expect(book.settle(.certificateRefused, at: start + .seconds(21)).isEmpty)
        #expect(book.settle(.outOfOrder, at: start + .seconds(21)).isEmpty)
        #expect(book.note(AlertEvent(.outOfOrder, about: bob), count: 9, at: start + .seconds(22)) == nil)
        #expect(book.rows.filter { $0.overAt == nil }.map(\.kind) == [.highSendRate])
    }

    /// Between two looks the order counts.
    @Test func whatIsRaisedAfterItWasPutRightStands() {
        let inbox = AlertInbox()
        inbox.raise(AlertEvent(.certificateRefused))
        inbox.raise(AlertEvent(.purgeFailed))
        inbox.settle(.certificateRefused)
        let settled = inbox.take()
        #expect(settled.settled == [.certificateRefused] && settled.raised.map(\.0.kind) == [.purgeFailed])
        inbox.settle(.certificateRefused)
        inbox.raise(AlertEvent(.certificateRefused))
        let raised = inbox.take()
        #expect(raised.settled == [.certificateRefused] && raised.raised.map(\.0.kind) == [.certificateRefused])
    }

    @Test func aFigureMustStayBeyondItsLimit() {
        var book = book()
        #expect(book.read(.diskLow, 10, at: start) == nil)
        #expect(book.read(.diskLow, 11, at: start + .seconds(20)) == nil)
        #expect(book.read(.diskLow, 9, at: start + .seconds(30)) == nil)
        #expect(book.read(.diskLow, 9, at: start + .seconds(59)) == nil)
        let began = book.read(.diskLow, 8, at: start + .seconds(60))
        #expect(began?.row.firstAt == start + .seconds(30) && began?.row.figure == 8)
    }

    @Test func whatWaversInBetweenChangesNothing() {
        var book = book()
        for (seconds, figure) in [(0, 95), (30, 95), (40, 85), (50, 92), (60, 81)] {
            _ = book.read(.descriptorsLow, figure, at: start + .seconds(seconds))
        }
        #expect(book.rows.map(\.figure) == [95] && book.rows[0].overAt == nil)
        guard case .ended(let row)? = book.read(.descriptorsLow, 80, at: start + .seconds(70)) else {
            Issue.record("it goes on")
            return
        }
        #expect(row.overAt == start + .seconds(70))
        #expect(book.read(.descriptorsLow, 89, at: start + .seconds(80)) == nil)
        #expect(book.rows.count == 1)
    }

    @Test func lowFiguresAreBadWhereTheRuleSaysSo() {
        var book = book()
        #expect(book.read(.diskNearlyFull, 3, at: start) == nil)
        #expect(book.read(.diskNearlyFull, 2, at: start)?.row.figure == 2)
        _ = book.read(.diskNearlyFull, 1, at: start + .seconds(1))
        _ = book.read(.diskNearlyFull, 3, at: start + .seconds(2))
        #expect(book.rows[0].figure == 1 && book.rows[0].overAt == nil)
        #expect(book.read(.diskNearlyFull, 4, at: start + .seconds(3))?.row.overAt != nil)
    }

    @Test func manySubjectsBecomeOneWithoutAName() {
        var book = book()
        for user in 1...(Limits.alertSubjects + 20) {
            _ = book.note(AlertEvent(.highSendRate, about: .user(UserID(UInt64(user)))), count: 1, at: start)
        }
        #expect(book.rows.count == Limits.alertSubjects + 1)
        #expect(book.rows.first?.subject == nil && book.rows.first?.count == 20)
    }

    @Test func whatIsCountedAndKeptIsBounded() {
        var book = book()
        for user in 1...(Limits.alertCounts + 10) {
            _ = book.note(AlertEvent(.outOfOrder, about: .user(UserID(UInt64(user)))), count: 9, at: start + .milliseconds(user))
        }
        // The oldest were forgotten, the newest were not.
        #expect(book.note(AlertEvent(.outOfOrder, about: .user(UserID(1))), count: 1, at: start + .seconds(200)) == nil)
        #expect(book.note(AlertEvent(.outOfOrder, about: .user(UserID(UInt64(Limits.alertCounts)))), count: 1, at: start + .seconds(200)) != nil)
        for number in 0..<(Limits.alertsKept + 50) {
            _ = book.read(.diskNearlyFull, 1, at: start + .seconds(number))
            _ = book.read(.diskNearlyFull, 9, at: start + .seconds(number))
        }
        #expect(book.rows.count == Limits.alertsKept + 1)
    }

    @Test func acknowledgingHidesNothingThatGoesOn() {
        var book = book()
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start)
        #expect(book.acknowledge(1, at: start + .seconds(1))?.acknowledgedAt == start + .seconds(1))
        // The first time counts.
        #expect(book.acknowledge(1, at: start + .seconds(9))?.acknowledgedAt == start + .seconds(1))
        #expect(book.acknowledge(7, at: start) == nil)
        _ = book.tick(at: start + .seconds(600))
        #expect(book.rows[0].overAt != nil && book.rows[0].acknowledgedAt != nil)
    }

    @Test func beginningsAndEndsAreStoredAtOnceAndTheRestNowAndThen() {
        var book = book()
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start)
        #expect(book.due(at: start).map(\.id) == [1] && book.due(at: start).isEmpty)
        for second in 1...59 { _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start + .seconds(second)) }
        #expect(book.due(at: start + .seconds(60)).isEmpty)
        let rows = book.due(at: start + .seconds(61))
        #expect(rows.map(\.count) == [60])
        book.putBack(rows, at: start + .seconds(61))
        #expect(book.due(at: start + .seconds(61)) == rows)
        _ = book.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start + .seconds(62))
        #expect(book.due(at: start + .seconds(62)).isEmpty && book.due(at: start + .seconds(62), all: true).count == 1)
    }

    @Test func itGoesOnAfterARestart() throws {
        var before = book()
        _ = before.note(AlertEvent(.highSendRate, about: alice), count: 5, at: start)
        _ = before.read(.diskNearlyFull, 1, at: start)
        _ = before.read(.diskNearlyFull, 9, at: start)
        var after = book(before.rows)
        #expect(after.rows == before.rows)
        #expect(after.note(AlertEvent(.highSendRate, about: alice), count: 1, at: start + .seconds(1)) == nil)
        #expect(after.rows.last?.count == 6)
        #expect(after.note(AlertEvent(.highSendRate, about: bob), count: 1, at: start)?.row.id == 3)
    }

    /// Whatever figures come in whatever order: an alert goes on exactly from a figure beyond the limit that held to one that is clear.
    @Test(arguments: 0..<20) func everyReadingIsExplained(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var book = book()
        guard case .reading(let raise, let clear, let holds, _) = AlertKind.descriptorsLow.rule.trigger else { return }
        var (goesOn, since): (Bool, Timestamp?) = (false, nil)
        var now = start
        for _ in 0..<500 {
            now = now + .seconds(Int(random.next() % 20))
            let figure = Int(random.next() % 30) + 75
            let turn = book.read(.descriptorsLow, figure, at: now)
            if goesOn {
                if figure <= clear { goesOn = false }
                #expect((turn != nil) == !goesOn, "seed \(seed)")
                since = nil
            } else {
                since = figure >= raise ? since ?? now : nil
                goesOn = since.map { now - $0 >= holds } ?? false
                #expect((turn != nil) == goesOn, "seed \(seed)")
            }
        }
    }

    private struct Unexpected: Error {}
}
