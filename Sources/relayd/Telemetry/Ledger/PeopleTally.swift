import RelayModel
import RelayStorage
import Synchronization

/// What users did since the last flush, by UTC day, in memory only. It sees what was committed, on the writer's thread, and is told who connects.
///
/// A message costs a look into a dictionary, a batch a lock that nobody else wants but once a minute. Counts stop at the largest clamp there is; the
/// period's own is applied in the store. Any thread.
package final class PeopleTally: CommitObserver {
    /// What one user did on one day.
    struct Contribution: Sendable, Equatable {
        var messages: UInt16 = 0
        var unread: UInt16 = 0
        var blocks: UInt16 = 0
        var registered = false
        /// That had a connection. At most ``Limits/devicesPerUserCeiling``.
        var devices: [DeviceID] = []
    }

    struct Taken: Sendable {
        /// By day, then by user.
        var days: [Int: [UserID: Contribution]] = [:]
        var forgotten: [UserID] = []
        var isEmpty: Bool { days.isEmpty && forgotten.isEmpty }
    }

    private struct State {
        /// Of this day, which nearly always is that of the next message: one look-up in a dictionary of numbers.
        var day = 0
        var messages: [UserID: UInt16] = [:]
        /// All else, and messages of other days.
        var taken = Taken()
        var contributions = 0

        mutating func noteMessage(of user: UserID, on day: Int) {
            if day != self.day { fold(into: day) }
            if let index = messages.index(forKey: user) {
                if messages.values[index] < Limits.peopleClampCeiling { messages.values[index] += 1 }
            } else if messages.count < Limits.peopleTallies {
                messages[user] = 1
            }
        }

        mutating func note(_ user: UserID, on day: Int, _ change: (inout Contribution) -> Void) {
            if taken.days[day]?[user] == nil {
                guard contributions < Limits.peopleTallies else { return }
                contributions += 1
            }
            change(&taken.days[day, default: [:]][user, default: Contribution()])
        }

        /// Puts the messages to the rest, before those of another day come.
        mutating func fold(into next: Int) {
            for (user, count) in messages { note(user, on: day) { PeopleTally.add(Int(count), to: &$0.messages) } }
            messages.removeAll(keepingCapacity: messages.count < 4096)
            day = next
        }

        mutating func forget(_ user: UserID) {
            messages[user] = nil
            for day in taken.days.keys {
                if taken.days[day]?.removeValue(forKey: user) != nil { contributions -= 1 }
                if taken.days[day]?.isEmpty == true { taken.days[day] = nil }
            }
            if taken.forgotten.count < Limits.peopleForgotten, !taken.forgotten.contains(user) { taken.forgotten.append(user) }
        }
    }

    private let state = Mutex(State())

    package init() {}

    /// A device of a user has a connection.
    package func connected(_ user: UserID, _ device: DeviceID, at time: Timestamp) {
        state.withLock { state in
            state.note(user, on: PeoplePeriod.day(of: time)) {
                if !$0.devices.contains(device), $0.devices.count < Limits.devicesPerUserCeiling { $0.devices.append(device) }
            }
        }
    }

    package func committed(_ commands: [StampedCommand], _ outcomes: [Outcome]) {
        state.withLock { state in
            for index in outcomes.indices {
                switch outcomes[index] {
                case .sent(let sent):
                    // A retry was counted before; changes of groups and deletions are not what people call messages.
                    guard let envelope = sent.publication?.envelope, envelope.extra == nil else { continue }
                    state.noteMessage(of: envelope.senderUser, on: PeopleTally.day(commands[index]))
                case .userAdded(let user, _):
                    state.note(user, on: PeopleTally.day(commands[index])) { $0.registered = true }
                case .contact(let contact):
                    // What an operator does in a user's name is not the user's doing.
                    guard contact.isNewBlock, commands[index].actor == nil, case .contact(let command) = commands[index].command else { continue }
                    state.note(command.user, on: PeopleTally.day(commands[index])) { PeopleTally.add(1, to: &$0.blocks) }
                case .purged(_, let unread, _):
                    let day = PeopleTally.day(commands[index])
                    for (user, count) in unread { state.note(user, on: day) { PeopleTally.add(count, to: &$0.unread) } }
                case .userGone, .done:
                    switch commands[index].command {
                    case .eraseUser(let command): state.forget(command.user)
                    // Twice, because a crash may have come between: what is in memory only is lost then.
                    case .beginErasure(let user), .finishErasure(let user): state.forget(user)
                    default: continue
                    }
                default: continue
                }
            }
        }
    }

    private static func day(_ command: StampedCommand) -> Int { PeoplePeriod.day(of: command.stamp.time) }

    fileprivate static func add(_ count: Int, to sum: inout UInt16) {
        sum = UInt16(min(Limits.peopleClampCeiling, Int(sum) + min(count, Limits.peopleClampCeiling)))
    }

    /// What was noted since the last time, which is then no longer here.
    func take() -> Taken {
        state.withLock { state in
            state.fold(into: state.day)
            let taken = state.taken
            state.taken = Taken()
            state.contributions = 0
            return taken
        }
    }

    /// Days that something was noted for.
    var days: [Int] { state.withLock { Array($0.taken.days.keys) + ($0.messages.isEmpty ? [] : [$0.day]) } }
}

extension PeopleTally.Contribution {
    /// What it adds to a figure: how much, and for devices which.
    func count(for metric: PeopleMetric) -> Int {
        switch metric {
        case .activeUsers: devices.isEmpty ? 0 : 1
        case .activeDevices: devices.count
        case .messagesAccepted: Int(messages)
        case .expiredUnread: Int(unread)
        case .registrations: registered ? 1 : 0
        case .blocksAndReports: Int(blocks)
        }
    }
}
