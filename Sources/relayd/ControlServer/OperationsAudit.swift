import FoundationEssentials
import Logging
import NIOCore
import RelayControl
import RelayCrypto
import RelayDirectory
import RelayModel
import RelayStorage
import Synchronization

/// How many refused and failed operations may still be written down. Any thread.
///
/// Those who may not operate have an allowance of their own: they cannot use up that of the others.
final class AuditAllowance: Sendable {
    struct Minute {
        var number: Int64 = 0
        var used = 0
        var missed = 0

        /// - Returns: how many were missed before this one; nil: this one is, too.
        mutating func take(at now: Timestamp) -> Int? {
            let minute = now.milliseconds / 60_000
            if minute != number { (number, used) = (minute, 0) }
            guard used < Limits.auditFailuresAMinute else {
                missed += 1
                return nil
            }
            used += 1
            defer { missed = 0 }
            return missed
        }
    }

    private let minutes = Mutex((operators: Minute(), others: Minute()))

    func take(ofOperators: Bool, at now: Timestamp) -> Int? {
        minutes.withLock { ofOperators ? $0.operators.take(at: now) : $0.others.take(at: now) }
    }
}

// What operators did, and tried to do.
extension Operations {
    func auditList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(AuditList.self, body) { request in
            let limit = try limit(request.limit, default: 100)
            let query = AuditQuery(since: request.since, before: request.before, failedOnly: request.failed ?? false)
            return AuditList.Reply(entries: try await directory.audit(query, limit: limit).map { AuditRecord($0) })
        }
    }

    func auditVerify(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(AuditVerify.self, body) { _ in
            let check = try await directory.checkAudit()
            return AuditVerify.Reply(
                entries: check.entries, first: check.first, last: check.last?.number,
                lastAt: check.last.map { Stamp(rawValue: $0.stamp).time }, erased: check.erased, hash: HexText.of(check.hash),
                findings: check.findings)
        }
    }

    /// An operation that somebody tried who may not. Nothing of what they sent is written down.
    func writeDown(refused name: ControlOperationName, _ peer: PeerCredentials) async {
        await writeDown(Actor(uid: peer.uid, operation: name.path, subject: "", result: ControlErrorCode.notPermitted.rawValue), ofOperators: false)
    }

    /// An operation that was allowed, and failed. A trial (`dryRun`) would have changed nothing.
    func writeDown(_ name: ControlOperationName, failed error: ControlError, _ body: ByteBuffer, _ peer: PeerCredentials) async {
        let fields = try? JSONDecoder().decode(Fields.self, from: Data(body.readableBytesView))
        guard fields?.dryRun != true else { return }
        // An erasure looks for names where there may be some.
        let isOfDevices = name.path.hasPrefix("device/") || name.path.hasPrefix("key/")
        let names = isOfDevices ? [] : [fields?.user, fields?.peer].map { text in text.map { (try? UserName($0).text) ?? $0 } }
        let words = (names + [fields?.device, fields?.invite]).compactMap(\.self)
        await writeDown(
            Actor(uid: peer.uid, operation: name.path, subject: words.joined(separator: " "), result: error.code.rawValue), ofOperators: true)
    }

    private func writeDown(_ actor: Actor, ofOperators: Bool) async {
        guard let missed = auditAllowance.take(ofOperators: ofOperators, at: clock.now()) else { return }
        var actor = actor
        actor.missed = missed
        // A store that takes nothing any more has said so; the caller gets the error that matters.
        try? await directory.audit(actor)
        logger.notice(
            "an operator's change failed", metadata: ["operation": "\(actor.operation)", "uid": "\(actor.uid)", "code": "\(actor.result)"])
    }

    /// What operations are about; each has some of them.
    private struct Fields: Decodable {
        var user: String?
        var peer: String?
        var device: String?
        var invite: String?
        var dryRun: Bool?
    }
}

extension AuditRecord {
    init(_ row: AuditRow) {
        self.init(
            number: row.number, at: row.at, uid: row.actor.uid, operation: row.actor.operation, result: row.actor.result,
            missed: row.actor.missed == 0 ? nil : row.actor.missed, subject: row.actor.subject, reason: row.actor.reason)
    }
}
