import Glibc
import NIOPosix
import RelayControl
import RelayModel
import RelaySQLite

/// Is the database whole, and of the schema that relayd writes?
struct IntegrityCheck: HostCheck {
    let group = CheckGroup.disk
    let name = "integrity"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard situation.isThorough else { return found.skip("left out (--quick)") }
        guard situation.status != nil else { return await withoutRelay(situation, &found) }
        do throws(ControlError) {
            let reply = try await situation.control.call(CheckStore())
            judge(problems: reply.problems, isUnfinished: reply.state == .unfinished, seconds: Double(reply.milliseconds) / 1000, &found)
            if reply.schema != reply.knownSchema {
                found.fail("the store has schema \(reply.schema), and relayd writes \(reply.knownSchema)", "install the relayd that wrote the store")
            }
            judgeStamp(ahead: Double(reply.aheadMilliseconds) / 1000, &found)
        } catch  where error.code == .notPermitted {
            found.skip("reading the whole store needs the admin group")
        } catch {
            found.skip(error.message)
        }
    }

    func judgeStamp(ahead seconds: Double, _ found: inout CheckFindings) {
        guard seconds > Limits.stampLeadSeconds else { return }
        found.warn(
            "the newest stamp in the store is \(Figures.shortTime(seconds)) ahead of the clock: it was set back",
            "let NTP set the clock; messages keep their order, and their times go on from the newest one")
    }

    /// Only of a relay that was stopped as it should: there is nothing in the log, and nothing is written.
    private func withoutRelay(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let path = situation.storePath else { return found.skip("the configuration is not known") }
        guard case .unreachable(let error) = situation.relay, error.code == .daemonUnreachable else { return found.skip("relayd does not answer") }
        guard access(path, R_OK) == 0 else { return found.skip("\(path) cannot be read") }
        guard Database.logBytes(path) == 0 else {
            return found.warn(
                "relayd did not stop as it should: \(path)-wal has what is not in the database yet",
                "start relayd, which takes it over, and check again")
        }
        guard Database.fileBytes(path) > 0 else { return found.skip("\(path) is empty") }
        let began = SystemMonotonicClock().nanoseconds()
        do {
            let check = try await Self.look(at: path)
            judge(
                problems: check.problems, isUnfinished: check.isUnfinished, seconds: Double(SystemMonotonicClock().nanoseconds() - began) / 1e9,
                &found)
        } catch {
            found.fail("\(path) cannot be read: \(error)", "restore a backup, or ask for help before anything writes to it")
        }
    }

    private static func look(at path: String) async throws -> QuickCheck {
        // Without locks and without a log: nobody else has it open, and nothing is made beside it.
        let escaped = path.utf8.map { byte -> String in
            let isPlain = (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || [45, 46, 47, 95].contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + String(byte / 16, radix: 16) + String(byte % 16, radix: 16)
        }.joined()
        let database = try Database(path: "file:\(escaped)?immutable=1", access: .readOnly, isURI: true)
        let interrupter = database.interrupter
        let timer = Task {
            try await Task.sleep(for: .seconds(Limits.storeCheckSeconds))
            interrupter.interrupt()
        }
        defer { timer.cancel() }
        return try database.quickCheck(problems: Limits.storeCheckProblems)
    }

    func judge(problems: [String], isUnfinished: Bool, seconds: Double, _ found: inout CheckFindings) {
        if let first = problems.first {
            found.fail(
                "the store is damaged: \(first)\(problems.count > 1 ? ", and \(problems.count - 1) more" : "")",
                "stop relayd, keep a copy of the store as it is, and restore the last good backup")
        } else if isUnfinished {
            found.good("nothing wrong was found in \(Figures.shortTime(seconds)), which was too short for all of the store")
        } else {
            found.good("the whole store is sound; looking took \(Figures.shortTime(seconds))")
        }
    }
}
