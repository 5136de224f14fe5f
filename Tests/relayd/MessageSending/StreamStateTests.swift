import NIOCore
import RelayModel
import RelayStorage
import Testing

@testable import RelayMessageSending

private let me = UserID(1)
private let phone = DeviceID(11)
private let laptop = DeviceID(12)
private let bob = UserID(2)
private let bobsPhone = DeviceID(21)

private func envelope(_ seq: UInt64, from user: UserID = bob, _ device: DeviceID = bobsPhone) -> StoredEnvelope {
    StoredEnvelope(
        mailboxSeq: seq, chat: ChatID(5), chatSeq: seq + 100, message: MessageID(seq + 1000), senderUser: user, senderDevice: device,
        clientMessageID: seq, body: ByteBuffer(), keys: PackedKeys())
}

@Suite struct StreamStateTests {
    @Test func anEmptyMailboxIsCaughtUpAtOnce() {
        var state = StreamState(user: me, device: phone)
        let read = state.begin(at: 7, writable: true)
        #expect(read?.after == 7)
        let actions = state.page([], complete: true, writable: true)
        #expect(actions.caughtUp == 7)
        #expect(actions.push.isEmpty)
        #expect(state.isLive == true)
    }

    @Test func liveMessagesArePushedFromMemory() {
        var state = live(at: 0)
        #expect(state.committed(envelope(1), writable: true) == .push)
        #expect(state.committed(envelope(2), writable: true) == .push)
    }

    @Test func aMessageThatArrivesWhileAPageIsReadIsNotLost() {
        var state = StreamState(user: me, device: phone)
        _ = state.begin(at: 0, writable: true)
        #expect(state.committed(envelope(1), writable: true) == .pass)
        // The page was read before the commit, so it says complete without having the message.
        let actions = state.page([], complete: true, writable: true)
        #expect(actions.caughtUp == nil)
        #expect(actions.read?.after == 0)
        #expect(state.page([envelope(1)], complete: true, writable: true).push.map(\.mailboxSeq) == [1])
        #expect(state.isLive == true)
    }

    @Test func aMessageThatArrivesBeforeTheBeginningIsNotLost() {
        var state = StreamState(user: me, device: phone)
        #expect(state.committed(envelope(1), writable: true) == .pass)
        #expect(state.resume(writable: true) == nil)
        #expect(state.begin(at: 0, writable: true)?.after == 0)
        #expect(state.page([envelope(1)], complete: true, writable: true).push.map(\.mailboxSeq) == [1])
    }

    @Test func aFullSocketFallsBackToTheMailbox() {
        var state = live(at: 0)
        #expect(state.committed(envelope(1), writable: false) == .pass)
        #expect(state.isLive == false)
        #expect(state.resume(writable: true)?.after == 0)
    }

    /// It was pushed when its group was small; by the time that the device reads on, the group has grown, and is announced.
    @Test func whatIsAnnouncedByNowIsNotWaitedFor() {
        var state = live(at: 0)
        #expect(state.committed(envelope(1), writable: false) == .pass)
        #expect(state.resume(writable: true)?.after == 0)
        let actions = state.page([], complete: true, writable: true)
        #expect(actions.read == nil && state.isLive == true)
        #expect(state.committed(envelope(2), writable: true) == .push)
    }

    @Test func thatSomethingHasExpiredIsNoDelivery() {
        var state = StreamState(user: me, device: phone)
        _ = state.begin(at: 0, writable: true)
        var gap = envelope(3, from: UserID(0), DeviceID(0))
        gap.extra = .gone
        #expect(state.page([gap], complete: true, writable: true).push.count == 1)
        var delivered: [ChatPosition] = []
        #expect(state.acknowledge(3, delivered: &delivered) == true)
        #expect(delivered.isEmpty && state.unacknowledged == 0)
    }

    @Test func theWindowIsBounded() {
        var state = live(at: 0)
        var pushed = 0
        for seq in 1...1000 { pushed += state.committed(envelope(UInt64(seq)), writable: true) == .push ? 1 : 0 }
        #expect(pushed == Limits.unacknowledgedEnvelopes)
        var delivered: [ChatPosition] = []
        #expect(state.acknowledge(UInt64(Limits.unacknowledgedEnvelopes), delivered: &delivered) == true)
        let read = state.resume(writable: true)
        #expect(read?.after == UInt64(Limits.unacknowledgedEnvelopes))
        #expect(delivered == [ChatPosition(chat: ChatID(5), seq: UInt64(Limits.unacknowledgedEnvelopes) + 100)])
    }

    @Test func ownMessagesArePassedOver() {
        var state = live(at: 0)
        #expect(state.committed(envelope(1, from: me, phone), writable: true) == .pass)
        #expect(state.cursor == 1)
        #expect(state.committed(envelope(2), writable: true) == .push)
        #expect(state.committed(envelope(3, from: me, phone), writable: true) == .pass)
        #expect(state.cursor == 1)
        var delivered: [ChatPosition] = []
        #expect(state.acknowledge(2, delivered: &delivered) == true)
        #expect(state.cursor == 3)
        #expect(delivered.map(\.seq) == [102])
    }

    @Test func messagesOfTheUsersOtherDevicesAreDeliveredButGiveNoReceipt() {
        var state = live(at: 0)
        #expect(state.committed(envelope(1, from: me, laptop), writable: true) == .push)
        var delivered: [ChatPosition] = []
        #expect(state.acknowledge(1, delivered: &delivered) == true)
        #expect(state.cursor == 1)
        #expect(delivered.isEmpty)
    }

    @Test func anAcknowledgementOfWhatWasNeverSentIsRefused() {
        var state = live(at: 0)
        var delivered: [ChatPosition] = []
        #expect(state.acknowledge(9, delivered: &delivered) == false)
        #expect(state.cursor == 0)
    }

    /// Whatever the order of commits, pages, acknowledgements and full sockets: everything once, in order, within the window.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func everythingOnceInOrder(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var mailbox: [StoredEnvelope] = []
        var state = StreamState(user: me, device: phone)
        var received: [UInt64] = []
        var writable = true
        var pending: (after: UInt64, limit: Int, snapshot: Int)?
        var caughtUp = 0
        var delivered: [ChatPosition] = []

        func ask(_ read: StreamState.Read?) {
            guard let read else { return }
            #expect(pending == nil, "two reads at once, seed \(seed)")
            // The snapshot of a read is some moment between asking and answering.
            pending = (read.after, read.limit, mailbox.count)
        }
        func take(_ actions: consuming StreamState.PageActions) {
            received += actions.push.map(\.mailboxSeq)
            if actions.caughtUp != nil { caughtUp += 1 }
            ask(actions.read)
        }
        func answerRead() {
            guard let read = pending else { return }
            pending = nil
            let seen = mailbox.prefix(Int.random(in: read.snapshot...mailbox.count, using: &generator))
            let behind = seen.filter { $0.mailboxSeq > read.after }
            let page = behind.prefix(Int.random(in: 1...read.limit, using: &generator))
            take(state.page(Array(page), complete: page.count == behind.count, writable: writable))
        }

        ask(state.begin(at: 0, writable: true))
        for _ in 0..<3000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0...3:
                let own = Int.random(in: 0..<4, using: &generator) == 0
                // Positions rise, with gaps: others' messages lie between.
                let seq = (mailbox.last?.mailboxSeq ?? 0) + UInt64.random(in: 1...5, using: &generator)
                let next = envelope(seq, from: own ? me : bob, own ? phone : bobsPhone)
                mailbox.append(next)
                switch state.committed(next, writable: writable) {
                case .push: received.append(seq)
                case .pass: break
                case .read(let read): ask(read)
                }
            case 4...5: answerRead()
            case 6...8:
                guard let last = received.last else { continue }
                let seq = UInt64.random(in: 0...last, using: &generator)
                #expect(state.acknowledge(seq, delivered: &delivered) == true, "seed \(seed)")
                ask(state.resume(writable: writable))
            default:
                writable.toggle()
                if writable { ask(state.resume(writable: true)) }
            }
            #expect(state.unacknowledged <= Limits.unacknowledgedEnvelopes, "seed \(seed)")
        }
        writable = true
        ask(state.resume(writable: true))
        for _ in 0..<mailbox.count {
            answerRead()
            if let last = received.last {
                _ = state.acknowledge(last, delivered: &delivered)
                ask(state.resume(writable: true))
            }
            if pending == nil, state.isLive { break }
        }
        #expect(received == mailbox.filter { $0.senderDevice != phone }.map(\.mailboxSeq), "seed \(seed)")
        #expect(caughtUp == 1, "seed \(seed)")
        #expect(state.cursor == mailbox.last?.mailboxSeq, "seed \(seed)")
    }

    private func live(at cursor: UInt64) -> StreamState {
        var state = StreamState(user: me, device: phone)
        _ = state.begin(at: cursor, writable: true)
        _ = state.page([], complete: true, writable: true)
        return state
    }
}
