import NIOCore
import NIOPosix
import RelayBackup
import RelayControl
import RelayDirectory
import RelayModel
import RelayStorage

// Erasing users.
extension Operations {
    func userErasePlan(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(UserErasePlan.self, body, subject: \.user) { request in
            ErasureReport(
                try await directory.planErasure(named: request.user, grace: try grace(request.graceSeconds)), .planned, backups: await backupCount)
        }
    }

    func userEraseApply(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(UserEraseApply.self, body, subject: \.user) { request in
            guard request.reason.contains(where: { !$0.isWhitespace }) else {
                throw ControlError(.badRequest, "the reason is empty", hint: "say why, for the audit log, without the user's name: --reason TEXT")
            }
            guard let fingerprint = PlanText.fingerprint(request.plan) else {
                throw ControlError(
                    .badRequest, "“\(request.plan)” is no fingerprint of a plan", hint: "chatctl user erase plan \(request.user) gives one")
            }
            let account = try await directory.applyErasure(
                named: request.user, fingerprint: fingerprint, grace: try grace(request.graceSeconds), reason: request.reason,
                actor: try actor(caller, .userEraseApply, request.user, request.reason))
            note(.userEraseApply, caller)
            return ErasureReport(account, account.due == nil ? .erased : .pending, backups: await backupCount)
        }
    }

    func userEraseCancel(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(UserEraseCancel.self, body, subject: \.user) { request in
            let user = try await directory.cancelErasure(
                named: request.user, actor: try actor(caller, .userEraseCancel, request.user, request.reason))
            note(.userEraseCancel, caller)
            return UserRecord(user, sending)
        }
    }

    func userEraseStatus(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(UserEraseStatus.self, body, subject: { $0.user ?? "" }) { request in
            let rows = try await directory.erasures(ofUser: request.user)
            return UserEraseStatus.Reply(
                erasures: rows.map { ErasureRecord(id: $0.user, user: $0.name?.text, askedAt: $0.asked, dueAt: $0.due, hasBegun: $0.hasBegun) })
        }
    }

    private var backupCount: Int {
        get async {
            let folder = backups.folder
            return (try? await NIOThreadPool.singleton.runIfActive { try folder.entries().count }) ?? 0
        }
    }

    private func grace(_ seconds: Int?) throws(ControlError) -> Duration? {
        guard let seconds else { return nil }
        let ceiling = Limits.erasureGraceCeiling.components.seconds
        guard seconds >= 0, Int64(seconds) <= ceiling else {
            throw ControlError(
                .badRequest, "a time of grace cannot be \(seconds) seconds: 0 to \(ceiling) (\(ceiling / 86_400) days) are possible",
                hint: "that is the field “graceSeconds”; chatctl's --grace takes 90m, 24h or 7d, and --now is none")
        }
        return .seconds(seconds)
    }
}

/// A fingerprint as operators copy it: sixteen hex digits in groups of four.
enum PlanText {
    static func text(_ fingerprint: UInt64) -> String {
        let digits = String(fingerprint, radix: 16)
        let padded = String(repeating: "0", count: 16 - digits.count) + digits
        return stride(from: 0, to: 16, by: 4).map { String(padded.dropFirst($0).prefix(4)) }.joined(separator: "-")
    }

    static func fingerprint(_ text: String) -> UInt64? {
        let digits = text.filter { $0 != "-" }
        return digits.count == 16 ? UInt64(digits, radix: 16) : nil
    }
}

extension ErasureReport {
    init(_ account: ErasureAccount, _ state: State, backups: Int) {
        let entries =
            state == .pending
            ? nil
            : ErasedPart.allCases.map { part in
                ErasureEntry(part: part.rawValue, goes: account.counts.gone[part] ?? 0, stays: account.counts.stays[part] ?? 0, why: Self.why(part))
            }
        self.init(
            user: account.user.name.text, id: account.user.id, state: state, graceSeconds: Int(account.grace.components.seconds), dueAt: account.due,
            plan: PlanText.text(account.fingerprint), entries: entries, files: state == .pending ? nil : Self.files(account, backups: backups))
    }

    private static func why(_ part: ErasedPart) -> String {
        switch part {
        case .users: "name and profile go; the bare number stays, so that it is never somebody else's"
        case .invites: "all"
        case .devices: "all, with names and public keys: what others have not yet fetched from the user can no longer be checked"
        case .prekeys, .oneTimePrekeys, .keyProgress, .progress, .alerts: "all"
        case .contacts: "from both sides; the others hear that the contact has ended"
        case .chats: "those that nobody else is or was in go; a direct chat that the other one has names the user's number for ever"
        case .members: "the user leaves the groups, and their stays go; in direct chats the other one's chat is with the bare number"
        case .messages:
            "those that only the user could read go; what others can read is theirs, with the bare numbers of the sender and of who joined or left"
        case .wrappedKeys: "the keys of other people's messages that are wrapped for the user"
        case .hidden, .receipts: "the user's own marks"
        case .audit: "entries stay, with “erased:” and the number in place of the name, and without what was written about the user"
        }
    }

    private static func files(_ account: ErasureAccount, backups: Int) -> [ErasureFile] {
        var files = [
            ErasureFile(
                file: "write-ahead log", holds: account.logEmptied == false,
                why: account.logEmptied == false
                    ? "somebody was reading all the time; relayd goes on trying to empty it" : "is emptied at the end; what is deleted is overwritten"
            ),
            ErasureFile(
                file: "backups", holds: backups > 0,
                why: backups > 0
                    ? "those that were made before hold the user until they are deleted: chatctl backup prune"
                    : "there is none in relayd's folder; copies that you made are yours to delete"),
            ErasureFile(file: "log", holds: false, why: "never has names, keys or numbers of users"),
        ]
        if account.isRecorded {
            files.append(
                ErasureFile(file: "record of commands", holds: true, why: "relayd was told to write one (--record-commands): delete it yourself"))
        }
        return files
    }
}
