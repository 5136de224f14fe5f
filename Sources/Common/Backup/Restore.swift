import FoundationEssentials
import Glibc
import RelayCrypto
import RelayModel
import RelaySQLite

/// What a store has that a backup has not: it is gone from the relay when the backup takes the store's place.
package struct RestoreLosses: Codable, Sendable, Equatable {
    /// Messages that came after the backup.
    package var messages: Int
    /// Users and devices that came after it: they are unknown then, and must be added again.
    package var users: Int
    package var devices: Int
    /// Users who were removed or erased since, and are there again then: up to ``Limits/restoreListed``.
    package var revivedUsers: [String]
    package var revivedUserCount: Int
    /// Devices that were revoked since, and may sign in again then.
    package var revivedDevices: [String]
    package var revivedDeviceCount: Int
}

/// What restoring would do, with a fingerprint of both sides.
package struct RestorePlan: Codable, Sendable, Equatable {
    package var backup: BackupManifest
    package var store: String
    /// Bytes of the store that is there now; absent: there is none.
    package var storeBytes: Int?
    package var storeSchema: Int?
    /// Absent: there is no store, or it cannot be read.
    package var losses: RestoreLosses?
    /// Why the store that is there cannot be read.
    package var storeProblem: String?
    /// Bytes that are needed beside what is there, and that are free.
    package var needed: Int
    package var free: Int
    /// Sixteen hex digits in groups of four.
    package var plan: String
}

/// What was done.
package struct RestoreReport: Codable, Sendable, Equatable {
    package var store: String
    package var backup: BackupManifest
    /// Where the store is that was there before, or the log of one that is gone; absent: there was none.
    package var before: String?
}

package enum RestoreError: Error, Sendable, Equatable {
    /// Somebody has the store open.
    case live
    case planOutdated
    case damaged([String])
    case noRoom(needed: Int, free: Int)
    /// The caller may not look into the store's folder, or not write there.
    case notPermitted
    case backup(BackupError)
    /// The store is as it was.
    case failed(String)
    /// The store is there and its log lies under another name: put back by hand it is as it was.
    case logAside(String, why: String)
    /// The backup is in the store's place, and the disk has not said that it stays there.
    case notFlushed(String)
}

/// Puts a backup in the place of a store that nobody uses. Works on files; any thread that may wait.
package struct Restore: Sendable {
    package var backup: BackupFile
    /// The path of the database.
    package var store: String
    private let clock: any WallClock

    package init(backup: BackupFile, store: String, clock: any WallClock) {
        self.backup = backup
        self.store = store
        self.clock = clock
    }

    /// Changes nothing; the store may be in use.
    package func plan() throws(RestoreError) -> RestorePlan {
        let manifest = try backing { () throws(BackupError) in try backup.manifest() }
        var plan = RestorePlan(
            backup: manifest, store: store, needed: manifest.databaseBytes + Limits.backupReserveBytes,
            free: BackupFile.free(at: BackupFile.folder(of: store)) ?? .max, plan: "")
        if try isThere() {
            plan.storeBytes = Database.bytes(store)
            do {
                let now = try Database(path: store, access: .readOnly)
                plan.storeSchema = Int(try now.integer("PRAGMA user_version") ?? 0)
                plan.losses = try Self.losses(now, try Database(path: backup.path, access: .immutable), manifest)
            } catch {
                plan.storeProblem = "\(error)"
            }
        }
        plan.plan = fingerprint(plan)
        return plan
    }

    /// - Parameter plan: of ``plan()``: neither the backup nor the store has changed since.
    /// - Parameter uid: who does it, for the operators' log.
    package func apply(plan expected: String, uid: UInt32, progress: (Double) -> Void = { _ in }) throws(RestoreError) -> RestoreReport {
        let lock = try lock()
        defer { close(lock) }
        let plan = try plan()
        guard plan.plan == expected else { throw .planOutdated }
        guard plan.free >= plan.needed else { throw .noRoom(needed: plan.needed, free: plan.free) }
        let verdict = try backing { () throws(BackupError) in try backup.verify(progress: { progress($0 * 0.6) }) }
        guard verdict.findings.isEmpty else { throw .damaged(verdict.findings) }
        let new = store + ".restoring"
        for path in [new, new + "-wal", new + "-shm"] { unlink(path) }
        do throws(RestoreError) {
            // Only root may be able to read the backup.
            try backing { () throws(BackupError) in try backup.extract(to: new, progress: { progress(0.6 + $0 * 0.4) }) }
            adopt(new)
            let before = try asOwner { () throws(RestoreError) in
                do {
                    try prepare(new, verdict.manifest, uid: uid)
                    return try exchange(new)
                } catch { throw error as? RestoreError ?? .failed("\(error)") }
            }
            return RestoreReport(store: store, backup: verdict.manifest, before: before)
        } catch {
            for path in [new, new + "-wal", new + "-shm"] { unlink(path) }
            throw error
        }
    }

    /// Somebody has the store open, as relayd has while it runs. Makes nothing; who may not look is not told.
    package var isLive: Bool {
        let file = open(store + ".lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return false }
        defer { close(file) }
        // Shared: two who look at the same time are not in each other's way.
        return flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// What relayd holds while it runs.
    private func lock() throws(RestoreError) -> Int32 {
        let file = try asOwner { () throws(RestoreError) in open(store + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        guard file >= 0 else {
            switch errno {
            case EACCES, EPERM: throw .notPermitted
            case ENOENT, ENOTDIR: throw .backup(.folder(BackupFile.folder(of: store), String(cString: strerror(errno))))
            default: throw .failed("\(store).lock cannot be opened: \(String(cString: strerror(errno)))")
            }
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            throw .live
        }
        return file
    }

    /// Stamps go on rising: over all that the backup has seen, over all that the store has given out since, and over the clock. What clients were
    /// given after the backup is then behind everything that comes, and nothing that comes is hidden by their cursors. The operators' log gets its entry
    /// when relayd starts.
    private func prepare(_ new: String, _ manifest: BackupManifest, uid: UInt32) throws {
        let now = clock.now()
        var stamp = max(UInt64(manifest.stamp) ?? 0, Stamp(time: Timestamp(milliseconds: (now.milliseconds / 1000 + 1) * 1000)).rawValue)
        // A store that cannot be read is often why one restores: the clock stands for it then.
        if let old = try? Database(path: store, access: .readOnly),
            let given = try? old.integer("SELECT value FROM meta WHERE key = 'last_stamp'")
        {
            stamp = max(stamp, UInt64(bitPattern: given))
        }
        let database = try Database(path: new, access: .readWriteCreate)
        try database.transaction {
            let write = try database.prepare("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value")
            for (key, value) in [
                ("last_stamp", Int64(bitPattern: stamp)), ("restored_ms", now.milliseconds), ("restored_from_ms", manifest.at.milliseconds),
                ("restored_uid", Int64(uid)),
            ] {
                try write.run {
                    $0.bind(1, key)
                    $0.bind(2, value)
                }
            }
        }
        guard try database.emptyLog() else { throw RestoreError.failed("somebody reads \(new)") }
    }

    /// Whether there is a store; who may not look must not be told that there is none.
    private func isThere() throws(RestoreError) -> Bool {
        if access(store, F_OK) == 0 { return true }
        guard errno == ENOENT || errno == ENOTDIR else { throw .notPermitted }
        return false
    }

    /// The old store keeps all its bytes under another name until somebody deletes it; at no moment is there no store. What fails is undone.
    ///
    /// The log goes before its store: a new store beside the log of the old one would be taken for its own, and be damaged by it. It has something in it
    /// only when the store cannot be read; whoever is interrupted right there has both under the other name.
    private func exchange(_ new: String) throws -> String? {
        let digits = String(clock.now().description.prefix(19)).filter { $0 != "-" && $0 != ":" }
        let aside = "\(store).before-\(digits)Z"
        let wasThere = try isThere()
        // What is only in its log goes into it, when it can be read at all.
        if wasThere, Database.logBytes(store) > 0, let old = try? Database(path: store, access: .readWriteCreate) { _ = try? old.emptyLog() }
        for path in [aside, aside + "-wal"] where access(path, F_OK) == 0 { throw RestoreError.failed("\(path) is there already") }
        if wasThere, link(store, aside) != 0 { throw Self.failure("\(aside) cannot be made") }
        let hasLog = access(store + "-wal", F_OK) == 0
        if hasLog, rename(store + "-wal", aside + "-wal") != 0 {
            let failure = Self.failure("\(store)-wal cannot be put aside")
            if wasThere { unlink(aside) }
            throw failure
        }
        unlink(store + "-shm")
        guard rename(new, store) == 0 else {
            let why = String(cString: strerror(errno))
            if wasThere { unlink(aside) }
            if hasLog, rename(aside + "-wal", store + "-wal") != 0 { throw RestoreError.logAside(aside + "-wal", why: why) }
            throw RestoreError.failed("\(store) cannot be replaced: \(why)")
        }
        for path in [new + "-wal", new + "-shm"] { unlink(path) }
        do throws(BackupError) { try BackupFile.flushFolder(of: store) } catch { throw RestoreError.notFlushed("\(error)") }
        return wasThere ? aside : hasLog ? aside + "-wal" : nil
    }

    /// With what the last system call said.
    private static func failure(_ what: String) -> RestoreError { .failed("\(what): \(String(cString: strerror(errno)))") }

    /// Root restores what is relayd's: the folder's owner is the file's. Not that of what a link leads to.
    private func adopt(_ path: String) {
        var status = stat()
        guard geteuid() == 0, stat(BackupFile.folder(of: store), &status) == 0 else { return }
        _ = lchown(path, status.st_uid, status.st_gid)
    }

    private func asOwner<Result>(_ body: () throws(RestoreError) -> Result) throws(RestoreError) -> Result {
        let owner: FolderOwner
        do throws(FolderOwner.Refused) { owner = try FolderOwner(of: BackupFile.folder(of: store)) } catch { throw .failed(error.description) }
        defer { owner.end() }
        return try body()
    }

    // MARK: What is lost

    private static func losses(_ now: Database, _ then: Database, _ manifest: BackupManifest) throws -> RestoreLosses {
        func numbers(_ database: Database, _ sql: String) throws -> Set<UInt64> {
            let read = try database.prepare(sql)
            var found: Set<UInt64> = []
            while try read.step() { found.insert(read.unsigned(0)) }
            return found
        }
        let users = "SELECT user_id FROM users WHERE removed = 0"
        let devices = "SELECT device_id FROM devices WHERE revoked = 0"
        let (usersNow, usersThen) = (try numbers(now, users), try numbers(then, users))
        let (devicesNow, devicesThen) = (try numbers(now, devices), try numbers(then, devices))
        let count = try now.prepare("SELECT count(*) FROM messages WHERE message_id > ?")
        count.bind(1, UInt64(try then.integer("SELECT max(message_id) FROM messages") ?? 0))
        let messages = try count.step() ? Int(count.integer(0)) : 0
        let revivedUsers = usersThen.subtracting(usersNow).sorted()
        let revivedDevices = devicesThen.subtracting(devicesNow).sorted()
        return RestoreLosses(
            messages: messages, users: usersNow.subtracting(usersThen).count, devices: devicesNow.subtracting(devicesThen).count,
            revivedUsers: revivedUsers.prefix(Limits.restoreListed).map { "\($0)" }, revivedUserCount: revivedUsers.count,
            revivedDevices: revivedDevices.prefix(Limits.restoreListed).map { "\($0)" }, revivedDeviceCount: revivedDevices.count)
    }

    private func fingerprint(_ plan: RestorePlan) -> String {
        var facts = [plan.backup.hash, store]
        for path in [store, store + "-wal"] {
            var status = stat()
            guard stat(path, &status) == 0 else { continue }
            facts.append("\(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)")
        }
        let digits = HexText.of(Array(Hashing.blake2b256(Array(facts.joined(separator: "\n").utf8)).prefix(8)))
        return stride(from: 0, to: 16, by: 4).map { String(digits.dropFirst($0).prefix(4)) }.joined(separator: "-")
    }

    private func backing<Result>(_ body: () throws(BackupError) -> Result) throws(RestoreError) -> Result {
        do throws(BackupError) { return try body() } catch { throw .backup(error) }
    }
}
