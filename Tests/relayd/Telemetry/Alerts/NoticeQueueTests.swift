import RelayModel
import RelayStorage
import Testing

@testable import RelayTelemetry

@Suite struct NoticeQueueTests {
    private let second: Int64 = 1_000_000_000

    private func notice(_ kind: AlertKind, _ id: Int = 1) -> AlertNotice {
        let row = AlertRow(
            id: id, kind: kind, subject: .user(UserID(987_654_321)), count: 2, figure: 7, firstAt: Timestamp(milliseconds: 0),
            lastAt: Timestamp(milliseconds: 5))
        return AlertNotice(.began(row), kind.rule, relay: "https://relay.example", at: Timestamp(milliseconds: 10))
    }

    @Test func aKindIsHandedOverOnceAMinuteAndTheNewestOfItGoes() {
        var queue = NoticeQueue()
        queue.offer(notice(.diskLow, 1), at: 0)
        #expect(queue.next(at: 0)?.notice.alert == 1)
        for id in 2...5 { queue.offer(notice(.diskLow, id), at: Int64(id) * second) }
        queue.offer(notice(.highSendRate, 6), at: 6 * second)
        #expect(queue.next(at: 6 * second)?.notice.alert == 6)
        #expect(queue.next(at: 59 * second) == nil)
        let last = queue.next(at: 60 * second)
        #expect(last?.notice.alert == 5 && last?.notice.leftOut == 3)
        #expect(queue.next(at: 1000 * second) == nil)
    }

    @Test func itIsTriedAgainFarherAndFartherApart() {
        var queue = NoticeQueue()
        queue.offer(notice(.diskLow), at: 0)
        var due: [Int64] = []
        var now: Int64 = 0
        while now < 2000 {
            if let entry = queue.next(at: now * second) {
                due.append(now)
                if !queue.failed(entry, at: now * second) { break }
            }
            now += 1
        }
        #expect(due == [0, 2, 10, 42, 170] && queue.lost == 1 && queue.waiting.isEmpty)
    }

    @Test func theQueueIsBounded() {
        var queue = NoticeQueue()
        // Each of another kind: with one kind the newest stands for all.
        for number in 0..<(Limits.alertNotices + 10) {
            var notice = notice(.diskLow, number)
            notice.kind = "kind \(number)"
            queue.offer(notice, at: 0)
        }
        #expect(queue.waiting.count == Limits.alertNotices && queue.lost == 10 && queue.waiting.first?.notice.alert == 10)
    }

    /// Nothing of whom it is about is in what is handed over.
    @Test func aNoticeNamesNobody() throws {
        let json = String(decoding: try notice(.highSendRate).json(), as: UTF8.self)
        #expect(!json.contains("987654321") && json.contains("\"kind\":\"high_send_rate\"") && json.contains("\"state\":\"began\""))
    }
}
