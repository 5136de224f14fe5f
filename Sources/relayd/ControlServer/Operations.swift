import FoundationEssentials
import Glibc
import Logging
import NIOCore
import RelayBackup
import RelayControl
import RelayDirectory
import RelayMessageSending
import RelayMetrics
import RelayModel
import RelayPresence
import RelayRetention
import RelayStorage
import RelayTelemetry

/// Serves every operation of the operator protocol. Any thread.
struct Operations: Sendable {
    let store: Store
    let directory: Directory
    let sending: MessageSending
    let presence: Presence
    let retention: Retention
    let alerts: Alerts
    let metrics: PublishedMetrics
    let ledger: PrivacyLedger
    let settings: ControlServerSettings
    let clock: any WallClock
    let logger: Logger
    let backups: Backups
    let auditAllowance = AuditAllowance()

    /// Runs one operation for a caller who is allowed to, and gives the reply as JSON. What changes something is in the operators' log then.
    func serve(_ name: ControlOperationName, body: ByteBuffer, peer: PeerCredentials, access: ControlAccess) async throws(ControlError) -> [UInt8] {
        do throws(ControlError) {
            return try await run(name, body: body, peer: peer, access: access)
        } catch {
            if name.isAudited { await writeDown(name, failed: error, body, peer) }
            throw error
        }
    }

    private func run(
        _ name: ControlOperationName, body: ByteBuffer, peer: PeerCredentials, access: ControlAccess
    ) async throws(ControlError) -> [UInt8] {
        // Exhaustive on purpose: an operation without a line here does not compile.
        switch name {
        case .hello:
            try await answer(Hello.self, body) { _ in
                Hello.Reply(protocolVersion: controlProtocolVersion, relayVersion: relayVersion)
            }
        case .status:
            try await answer(Status.self, body) { _ in try await status(access) }
        case .userAdd:
            try await answer(UserAdd.self, body, subject: \.user) { request in
                let lifetime = try lifetime(request.inviteLifetimeSeconds, field: "inviteLifetimeSeconds")
                let (user, invite) = try await directory.addUser(
                    name: request.user, displayName: request.displayName, avatar: request.avatar, inviteLifetime: lifetime,
                    noLimits: request.noLimits ?? false, actor: try actor(peer, name, request.user))
                note(name, peer)
                return UserAdd.Reply(user: UserRecord(user, sending), invite: InviteIssued(invite))
            }
        case .userList:
            try await answer(UserList.self, body) { request in try await users(request) }
        case .userShow: try await userShow(body)
        case .userExport: try await userExport(body, peer)
        case .userErasePlan: try await userErasePlan(body)
        case .userEraseApply: try await userEraseApply(body, peer)
        case .userEraseCancel: try await userEraseCancel(body, peer)
        case .userEraseStatus: try await userEraseStatus(body)
        case .userRemove:
            try await answer(UserRemove.self, body, subject: \.user) { request in
                let dryRun = request.dryRun ?? false
                let actor = try actor(peer, name, request.user, request.reason)
                let removal =
                    dryRun
                    ? try await directory.planRemoval(named: request.user)
                    : try await directory.removeUser(named: request.user, actor: actor)
                if !dryRun { note(name, peer) }
                return UserRemove.Reply(
                    user: removal.user.text, dryRun: dryRun, devices: removal.devices, openInvites: removal.openInvites,
                    mailboxEntries: removal.mailboxEntries)
            }
        case .userSuspend:
            try await answer(UserSuspend.self, body, subject: \.user) { request in
                let user = try await directory.suspendUser(
                    named: request.user, reason: request.reason, actor: try actor(peer, name, request.user, request.reason))
                note(name, peer)
                return UserRecord(user, sending)
            }
        case .userResume:
            try await answer(UserResume.self, body, subject: \.user) { request in
                let user = try await directory.resumeUser(
                    named: request.user, actor: try actor(peer, name, request.user, request.reason))
                note(name, peer)
                return UserRecord(user, sending)
            }
        case .inviteCreate:
            try await answer(InviteCreate.self, body, subject: \.user) { request in
                let lifetime = try lifetime(request.lifetimeSeconds, field: "lifetimeSeconds")
                let invite = try await directory.createInvite(
                    user: request.user, lifetime: lifetime, actor: try actor(peer, name, request.user))
                note(name, peer)
                return InviteIssued(invite)
            }
        case .inviteList:
            try await answer(InviteList.self, body, subject: { $0.user ?? "" }) { request in
                let now = clock.now()
                return InviteList.Reply(invites: try await directory.invites(ofUser: request.user).map { InviteRecord($0, now: now) })
            }
        case .inviteRevoke:
            try await answer(InviteRevoke.self, body, subject: \.invite.description) { request in
                let dryRun = request.dryRun ?? false
                let actor = try actor(peer, name, request.invite.description, request.reason)
                let row =
                    dryRun
                    ? try await directory.invite(request.invite)
                    : try await directory.revokeInvite(request.invite, actor: actor)
                // A used invite stays used: there is nothing left to revoke.
                if row.state == .used { throw DirectoryError.rejected(.inviteUsed) }
                if !dryRun { note(name, peer) }
                return InviteRevoke.Reply(invite: InviteRecord(row, now: clock.now()), dryRun: dryRun)
            }
        case .deviceList:
            try await answer(DeviceList.self, body, subject: { $0.user ?? "" }) { request in
                DeviceList.Reply(devices: try await directory.devices(ofUser: request.user).map { DeviceRecord($0, sending) })
            }
        case .deviceShow:
            try await answer(DeviceShow.self, body, subject: \.device.description) { request in
                DeviceRecord(try await directory.device(request.device), sending)
            }
        case .deviceRevoke:
            try await answer(DeviceRevoke.self, body, subject: \.device.description) { request in
                let dryRun = request.dryRun ?? false
                let actor = try actor(peer, name, request.device.description, request.reason)
                let device =
                    dryRun
                    ? try await directory.device(request.device)
                    : try await directory.revokeDevice(request.device, actor: actor)
                if !dryRun { note(name, peer) }
                return DeviceRevoke.Reply(device: DeviceRecord(device, sending), dryRun: dryRun)
            }
        case .deviceKick: try await deviceKick(body, peer)
        case .keyList: try await keyList(body)
        case .keyShow: try await keyShow(body)
        case .keyAudit: try await keyAudit(body)
        case .keyRevoke: try await keyRevoke(body, peer)
        case .keyExpire: try await keyExpire(body, peer)
        case .contactList: try await contactList(body)
        case .contactAdd: try await contactAdd(body, peer)
        case .blockList: try await blockList(body)
        case .blockAdd: try await blockAdd(body, peer)
        case .blockRemove: try await blockRemove(body, peer)
        case .blockAudit: try await blockAudit(body)
        case .retentionShow: try await retentionShow(body)
        case .retentionSet: try await retentionSet(body, peer)
        case .retentionAssign: try await retentionAssign(body, peer)
        case .retentionPlan: try await retentionPlan(body)
        case .retentionPurge: try await retentionPurge(body, peer)
        case .retentionStop: try await retentionStop(body, peer)
        case .retentionStatus: try await retentionStatus(body)
        case .retentionVerify: try await retentionVerify(body)
        case .alertList: try await alertList(body)
        case .alertShow: try await alertShow(body)
        case .alertAcknowledge: try await alertAcknowledge(body, peer)
        case .alertTest: try await alertTest(body, peer)
        case .alertKinds: try await alertKinds(body)
        // MARK: Metrics
        case .metricsShow: try await metricsShow(body)
        case .metricsHistory: try await metricsHistory(body)
        case .metricsPeople: try await metricsPeople(body)
        case .metricsBudget: try await metricsBudget(body)
        case .presenceSummary: try await presenceSummary(body)
        // MARK: Privacy audit
        case .privacyFacts: try await privacyFacts(body)
        case .auditList: try await auditList(body)
        case .auditVerify: try await auditVerify(body)
        case .backupCreate: try await backupCreate(body, peer)
        case .backupVerify: try await backupVerify(body)
        case .backupStatus: try await backupStatus(body)
        case .backupList: try await backupList(body)
        case .backupPrune: try await backupPrune(body, peer)
        // MARK: Configuration, checks, live views
        case .configShow: try await configShow(body)
        case .configDiff: try await configDiff(body)
        case .checkStore: try await checkStore(body)
        case .health: try await health(body)
        case .top: try await top(body)
        }
    }

    /// Decodes, runs and encodes one operation; every failure leaves here as a ``ControlError``.
    ///
    /// - Parameter subject: what the operation is about, for its errors.
    func answer<Operation: ControlOperation>(
        _: Operation.Type, _ body: ByteBuffer, subject: (Operation) -> String = { _ in "" },
        _ run: (Operation) async throws -> Operation.Reply
    ) async throws(ControlError) -> [UInt8] {
        let request = try RequestDecoding.decode(Operation.self, from: body)
        do {
            return try ReplyEncoding.bytes(try await run(request))
        } catch let error as ControlError {
            throw error
        } catch let error as DirectoryError {
            throw ControlError(error, subject: subject(request))
        } catch let error as BackupError {
            throw ControlError(error, backups.folder.path)
        } catch {
            let token = CorrelationToken()
            logger.error(
                "an operation failed",
                metadata: ["operation": "\(Operation.name.path)", "error": "\(type(of: error))", "request": "\(token)"])
            var failure = ControlError(.failed, "\(Operation.name.path) failed inside relayd", hint: "journalctl -u relayd | grep \(token)")
            failure.request = token.description
            throw failure
        }
    }

    // MARK: Operations that are more than one call

    private func users(_ request: UserList) async throws -> UserList.Reply {
        let limit = try limit(request.limit, default: Limits.pageSizeCeiling)
        var after: UserName?
        if let text = request.after {
            do {
                after = try UserName(text)
            } catch {
                throw ControlError(.badRequest, "the field “after”: \(error)")
            }
        }
        let users = try await directory.users(after: after, limit: limit)
        return UserList.Reply(
            users: users.map { UserRecord($0, sending) }, next: users.count == limit ? users.last?.user.name.text : nil)
    }

    /// Who may only look sees classes and steps, as in the metrics: exact counts that are looked at often tell what single people do.
    private func status(_ access: ControlAccess) async throws -> Status.Reply {
        let counts = try await directory.counts()
        let messages = sending.statistics
        let writer = store.writer.statistics
        let isExact = access >= .admin
        func people(_ count: Int) -> Int { isExact ? count : SizeClass.of(count) }
        func passed(_ count: Int) -> Int { isExact ? count : count / Limits.metricMessageStep * Limits.metricMessageStep }
        let disk = metrics.snapshot
        return Status.Reply(
            relayVersion: relayVersion, startedAt: settings.startedAt, now: clock.now(), processID: Int(getpid()), listening: settings.listening,
            publicURL: settings.publicURL, users: people(counts.users), devices: people(counts.devices), openInvites: people(counts.openInvites),
            connections: people(messages.connections), messagesAccepted: passed(messages.messagesAccepted),
            envelopesDelivered: passed(messages.envelopesDelivered), requestsRefused: passed(messages.requestsRefused), storeBytes: store.bytes,
            writerQueue: people(writer.queued), commandsApplied: passed(writer.commands), commits: passed(writer.commits),
            residentBytes: ProcessFigures.residentBytes, cpuMicroseconds: ProcessFigures.cpuMicroseconds, isExact: isExact,
            health: Health.Reply(reasons: await healthReasons()), openAlerts: await alerts.rows.count { $0.overAt == nil },
            undelivered: Int(disk.number(.undelivered)), diskBytes: Int(disk.number(.diskBytes)), diskFreeBytes: Int(disk.number(.diskFreeBytes)))
    }

    // MARK: Fields that several operations have

    func limit(_ value: Int?, default standard: Int) throws(ControlError) -> Int {
        guard let value else { return standard }
        guard (1...Limits.pageSizeCeiling).contains(value) else {
            throw ControlError(.badRequest, "the field “limit” must be 1 to \(Limits.pageSizeCeiling), not \(value)")
        }
        return value
    }

    private func lifetime(_ seconds: Int?, field: String) throws(ControlError) -> Duration? {
        guard let seconds else { return nil }
        let ceiling = Limits.inviteLifetimeCeiling.components.seconds
        guard seconds >= 1, Int64(seconds) <= ceiling else {
            throw ControlError(
                .badRequest, "an invite cannot live for \(seconds) seconds: 1 to \(ceiling) (\(ceiling / 86_400) days) are possible",
                hint: "that is the field “\(field)”; chatctl's --expires takes 90m, 24h or 30d")
        }
        return .seconds(seconds)
    }

    /// A line in the log beside the entry in the audit log: which kind of change, not about whom.
    func note(_ name: ControlOperationName, _ peer: PeerCredentials) {
        logger.notice("an operator changed something", metadata: ["operation": "\(name.path)", "uid": "\(peer.uid)"])
    }

    func actor(
        _ peer: PeerCredentials, _ name: ControlOperationName, _ subject: String, _ reason: String? = nil
    ) throws(ControlError) -> Actor {
        if let reason, reason.count > Limits.reasonCharacters {
            throw ControlError(.badRequest, "the reason has \(reason.count) characters; the audit log takes \(Limits.reasonCharacters)")
        }
        let normalised = (try? UserName(subject).text) ?? subject
        return Actor(uid: peer.uid, operation: name.path, subject: normalised, reason: reason)
    }
}

/// A reply or an error as the body of a response.
enum ReplyEncoding {
    static func bytes(_ value: some Encodable) throws(ControlError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            throw ControlError(.failed, "the reply cannot be written as JSON")
        }
    }
}
