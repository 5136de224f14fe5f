import NIOCore
import RelayModel
import RelaySQLite

/// The embedded engine: SQLite in WAL mode, flushed at every commit.
///
/// Confined to the writer's thread, hence unchecked. What a send needs to know (members, devices, sequences) is kept in memory,
/// loaded on first use and changed only here, so that a send reads nothing from the disk.
package final class SQLiteEngine: Engine, @unchecked Sendable {
    let database: Database
    let statements: Statements
    let keyStatements: KeyStatements
    let erasureStatements: ErasureStatements
    /// For reads that the readers make too, on the writer's connection.
    let reader: Reader
    private(set) package var lastStamp: Stamp
    /// No stamp at or above this one was handed out when the last commit was made.
    private var storedStamp: Stamp
    /// For building a row's bytes; kept so that a message needs no buffer of its own.
    var scratch = ByteBuffer()
    var extraScratch = ByteBuffer()

    var users: [UserID: UserState] = [:]
    var devices: [DeviceID: DeviceState] = [:]
    var chats: [ChatID: ChatState] = [:]
    /// Members of the chats that were loaded: of a group they take more than the chat itself.
    var cachedMembers = 0
    /// What the batch changed in memory and has yet to write.
    var changedDevices: [DeviceState] = []
    var changedReceipts: [(chat: ChatID, member: MemberState)] = []
    /// Those who are not removed.
    var userCount: Int
    let monotonic: any MonotonicClock
    var contactPolicy: ContactPolicy
    /// The operators' log ends here.
    var auditEnd: AuditEnd

    /// Takes over a migrated database.
    /// - Parameter monotonic: tells how long steps of a purge take; changes nothing that is stored.
    init(database: Database, monotonic: any MonotonicClock = SystemMonotonicClock()) throws(SQLiteError) {
        self.database = database
        self.monotonic = monotonic
        statements = try Statements(database)
        keyStatements = try KeyStatements(database)
        erasureStatements = try ErasureStatements(database)
        reader = Reader(database)
        lastStamp = Stamp(rawValue: UInt64(bitPattern: try database.integer("SELECT value FROM meta WHERE key = 'last_stamp'") ?? 0))
        storedStamp = lastStamp
        contactPolicy = ContactPolicy(bits: try database.integer("SELECT value FROM meta WHERE key = 'contact_policy'") ?? ContactPolicy().bits)
        auditEnd = try AuditEnd(of: database)
        userCount = Int(try database.integer("SELECT count(*) FROM users WHERE removed = 0") ?? 0)
    }

    package func apply(_ batch: [StampedCommand]) throws -> [Outcome] {
        if users.count + devices.count + cachedMembers > Limits.engineCacheEntries { forgetCaches() }
        return try database.transaction {
            var outcomes: [Outcome] = []
            outcomes.reserveCapacity(batch.count)
            for stamped in batch {
                let outcome = try apply(stamped)
                if let actor = stamped.actor {
                    if case .rejected = outcome {} else { try audit(actor, at: stamped.stamp) }
                }
                outcomes.append(outcome)
            }
            if let last = batch.last { lastStamp = Stamp(rawValue: last.stamp.rawValue + last.command.stamps - 1) }
            try writeChanges()
            try writeLastStamp()
            return outcomes
        }
    }

    private func apply(_ stamped: StampedCommand) throws -> Outcome {
        let stamp = stamped.stamp
        do {
            switch stamped.command {
            case .addUser(let command):
                guard userCount < Limits.users else { return .rejected(.userLimitReached) }
                let outcome = try addUser(command, stamp)
                userCount += 1
                return outcome
            case .addInvite(let command): return try addInvite(command, stamp)
            case .revokeInvite(let invite): return try revokeInvite(invite)
            case .enrolDevice(let command): return try enrolDevice(command, stamp)
            case .linkDevice(let command): return try linkDevice(command, stamp)
            case .revokeDevice(let device): return try revokeDevice(device, stamp)
            case .removeUser(let user): return try removeUser(user, stamp)
            case .eraseUser(let command): return try eraseUser(command, stamp)
            case .beginErasure(let user): return try beginErasure(user, stamp)
            case .cancelErasure(let user): return try cancelErasure(user)
            case .finishErasure(let user): return try finishErasure(user, stamp)
            case .suspendUser(let user, let reason): return try suspendUser(user, reason: reason, stamp)
            case .resumeUser(let user): return try resumeUser(user)
            case .clearUser(let user, let limit): return try clearUser(user, limit: limit, stamp)
            case .contact(let command): return try contact(command, stamp)
            case .setContactPolicy(let policy): return try setContactPolicy(policy, stamp)
            case .setKeys(let command): return try setKeys(command, stamp)
            case .takePrekeys(let command): return try takePrekeys(command)
            case .revokeKeys(let command): return try revokeKeys(command, stamp)
            case .expireKeys(let command): return try expireKeys(command, stamp)
            case .openChat(let first, let second, let device): return try openChat(first, second, by: device, stamp)
            case .send(let command): return try send(command, stamp)
            case .changeGroup(let command): return try changeGroup(command, stamp)
            case .delete(let command): return try delete(command, stamp)
            case .purge(let ends): return try purge(ends)
            case .setRetention(let command): return try setRetention(command)
            case .assignRetention(let user, let name): return try assignRetention(user, name)
            case .recordPurge(let record): return try recordPurge(record, stamp)
            case .releaseSpace(let pages): return try releaseSpace(pages: pages)
            case .recordAlerts(let command): return try recordAlerts(command)
            case .recordLoad(let day): return try recordLoad(day)
            case .openPeople(let openings): return try openPeople(openings)
            case .countPeople(let counts): return try countPeople(counts)
            case .closePeople(let command): return try closePeople(command)
            case .setPresence(let command): return try setPresence(command)
            case .recordLastSeen(let entries): return try recordLastSeen(entries)
            case .acknowledge(let entries): return try acknowledge(entries, stamp)
            case .read(let user, let chat, let chatSeq): return try read(user, chat, upTo: chatSeq, stamp)
            case .auditOnly: return .done
            }
        } catch let rejection as Rejection {
            // Rejections are thrown before anything was changed.
            return .rejected(rejection)
        }
    }

    /// What every command of the batch may have moved, written once.
    func writeChanges() throws(SQLiteError) {
        for device in changedDevices {
            device.changed = false
            if device.revoked { continue }
            try statements.writeProgress.run {
                $0.bind(1, device.id.rawValue)
                $0.bind(2, device.cursor)
                $0.bind(3, device.highestClientMessageID)
            }
        }
        changedDevices.removeAll(keepingCapacity: true)
        for (chat, member) in changedReceipts {
            try statements.writeReceipt.run {
                $0.bind(1, chat.rawValue)
                $0.bind(2, member.user.id.rawValue)
                $0.bind(3, member.deliveredSeq)
                $0.bind(4, member.readSeq)
                $0.bind(5, member.version)
            }
            member.changed = false
        }
        changedReceipts.removeAll(keepingCapacity: true)
    }

    /// A page less in most commits: what is stored is the end of the stamp's second, where the next run begins. Its first stamps may
    /// be ahead of the clock by as much.
    private func writeLastStamp() throws(SQLiteError) {
        guard lastStamp >= storedStamp else { return }
        let second = (lastStamp.rawValue >> Stamp.counterBits) / 1000 + 1
        storedStamp = Stamp(rawValue: (second * 1000) << Stamp.counterBits)
        try statements.writeLastStamp.run { $0.bind(1, storedStamp.rawValue) }
    }

    private func forgetCaches() {
        users.removeAll()
        devices.removeAll()
        chats.removeAll()
        cachedMembers = 0
    }
}
