import Glibc
import Logging
import RelayBackup
import RelayControl
import RelayModel
import RelaySQLite
import RelayStorage

/// Brings the store of an older version to this one's schema: a snapshot, a rehearsal on a copy of it, and only then the store itself, in one transaction.
/// Before the daemon's threads begin; blocks.
struct StoreUpgrade {
    var store: String
    var folder: BackupFolder
    var migrations = StoreMigrations.current
    var monotonic: any MonotonicClock = SystemMonotonicClock()

    /// What the rehearsal came to.
    struct Report: Sendable, Equatable {
        var from: Int
        var to: Int
        /// The snapshot, which stays as the way back; empty after a mere rehearsal.
        var snapshot: String
        var bytesBefore: Int
        var bytesAfter: Int
        /// Of the migration alone.
        var took: Duration
        var snapshotTook: Duration
    }

    /// Why the store is as it was before, and relayd does not start.
    struct Refused: Error, CustomStringConvertible {
        var description: String
        var hint: String
    }

    /// Nil: the store is of this version, or there is none.
    func pending() throws(Refused) -> (from: Int, to: Int)? {
        do throws(StoreError) {
            guard let found = try migrations.found(in: store), found < migrations.schema else { return nil }
            return (found, migrations.schema)
        } catch {
            guard case .newer = error else { throw Refused(description: "\(error)", hint: "chatctl backup restore puts a backup in its place") }
            throw Refused(
                description: "\(error)",
                hint:
                    "the version that wrote it reads it; to go back for good, restore the backup that was made before the upgrade: chatctl backup list"
            )
        }
    }

    /// Everything but the store itself, which may be in use. Nothing of it is left.
    func rehearse(progress: (String) -> Void = { _ in }) throws(Refused) -> Report? {
        guard let (from, to) = try pending() else { return nil }
        return try withRehearsal(from, to, progress) { rehearsal in rehearsal.report }
    }

    /// The store itself. Nobody else has it: the caller holds its lock.
    func run(progress: (String) -> Void = { _ in }) throws(Refused) -> Report? {
        guard let (from, to) = try pending() else { return nil }
        // What cannot end well need not begin with a copy of everything.
        try checkRoom(for: Database.bytes(store), snapshot: isOnOneDisk ? Database.bytes(store) : 0, isThere: false)
        return try withRehearsal(from, to, progress) { rehearsal throws(Refused) in
            var report = rehearsal.report
            try checkRoom(for: max(report.bytesBefore, report.bytesAfter), snapshot: isOnOneDisk ? rehearsal.snapshotBytes : 0, isThere: true)
            report.snapshot = try rehearsal.keep()
            progress("upgrading the store, some \(report.took.components.seconds + 1) seconds")
            do {
                try migrations.run(on: store)
            } catch {
                throw Refused(
                    description: "the upgrade of the store from schema \(from) to \(to) failed: \(error)",
                    hint:
                        "the store is as it was: install the version again that ran before; a copy from before is \(report.snapshot) in \(folder.path)"
                )
            }
            return report
        }
    }

    private struct Rehearsal {
        var report: Report
        var snapshotBytes: Int
        /// Gives the snapshot its name: from now on it is the way back.
        var keep: () throws(Refused) -> String
    }

    /// Makes a snapshot and rehearses on a copy of it; the snapshot goes with the end of `body` unless it was kept, and with the next backup when relayd dies
    /// before that. Nobody makes a backup meanwhile, who would take the copy for a leftover.
    private func withRehearsal(
        _ from: Int, _ to: Int, _ progress: (String) -> Void, _ body: (Rehearsal) throws(Refused) -> Report
    ) throws(Refused) -> Report {
        let size = Database.bytes(store)
        let began = monotonic.nanoseconds()
        let hold: BackupFolderHold
        let name: String
        let manifest: BackupManifest
        let snapshot: BackupFile
        do throws(BackupError) {
            hold = try folder.hold()
            (name, manifest) = try folder.create(
                of: store, relayVersion: relayVersion, reason: .upgrade, hold: hold, rest: { _ in },
                progress: { progress("copying the store before its upgrade: \(Int($0.fraction * 100)) %") })
            snapshot = try folder.setAside(name)
        } catch {
            let failure = ControlError(error, folder.path)
            throw Refused(
                description:
                    "no snapshot could be made of the store before its upgrade from schema \(from) to \(to), which is as it was: \(failure.message)",
                hint: hint(error) ?? failure.hint ?? "")
        }
        defer {
            unlink(snapshot.path)
            withExtendedLifetime(hold) {}
        }
        let snapshotTook = Duration.nanoseconds(monotonic.nanoseconds() - began)
        progress("rehearsing the upgrade of the store")
        let (took, after) = try rehearsed(on: snapshot, manifest, from, to)
        return try body(
            Rehearsal(
                report: Report(from: from, to: to, snapshot: "", bytesBefore: size, bytesAfter: after, took: took, snapshotTook: snapshotTook),
                snapshotBytes: snapshot.bytes,
                keep: { () throws(Refused) in
                    do throws(BackupError) { try folder.giveBack(name) } catch {
                        let failure = ControlError(error, folder.path)
                        throw Refused(
                            description: "the snapshot of the store cannot be kept, which is as it was: \(failure.message)", hint: failure.hint ?? "")
                    }
                    return name
                }))
    }

    /// - Returns: how long the migration took, and the bytes of the copy after it.
    private func rehearsed(on snapshot: BackupFile, _ manifest: BackupManifest, _ from: Int, _ to: Int) throws(Refused) -> (Duration, Int) {
        let copy = "\(folder.path)/rehearsal.partial"
        defer { for path in [copy, copy + "-wal", copy + "-shm", copy + "-journal"] { unlink(path) } }
        do {
            if let free = BackupFile.free(at: folder.path), free < 2 * manifest.databaseBytes + Limits.backupReserveBytes {
                throw BackupError.noRoom(needed: 2 * manifest.databaseBytes + Limits.backupReserveBytes, free: free)
            }
            try snapshot.extract(to: copy)
            let start = monotonic.nanoseconds()
            let after = try migrations.rehearse(on: copy)
            return (.nanoseconds(monotonic.nanoseconds() - start), after)
        } catch {
            let why = (error as? BackupError).map { ControlError($0, folder.path).message } ?? "\(error)"
            throw Refused(
                description: "the upgrade of the store from schema \(from) to \(to) failed in its rehearsal: \(why)",
                hint: "the store is as it was: install the version again that ran before, and report this")
        }
    }

    // MARK: Room

    /// Where that of a running relay does not help: chatctl asks it to delete backups.
    private func hint(_ error: BackupError) -> String? {
        guard case .noRoom = error else { return nil }
        return "chatctl backup list shows those in \(folder.path): rm makes room, and so does another folder in [backup] directory of relayd.toml"
    }

    /// - Parameters:
    ///   - bytes: of the store before or after, whichever is more.
    ///   - snapshot: bytes of the snapshot when it lies on the store's disk, where it takes room; otherwise 0.
    ///   - isThere: the snapshot is there already, and goes when the upgrade is refused.
    private func checkRoom(for bytes: Int, snapshot: Int, isThere: Bool) throws(Refused) {
        guard let now = BackupFile.free(at: store) else { return }
        let (needed, free) = (Limits.upgradeSpaceFactor * bytes + snapshot, now + (isThere ? snapshot : 0))
        guard free < needed else { return }
        throw Refused(
            description: "the upgrade of the store needs up to \(needed / 1_048_576 + 1) MiB beside it, and \(free / 1_048_576) MiB are free",
            hint: "the store is as it was; make room, or install the version again that ran before")
    }

    private var isOnOneDisk: Bool {
        var (one, other) = (stat(), stat())
        // The folder of backups may not be there yet: then it will be where its own folder is.
        guard stat(store, &one) == 0, stat(folder.path, &other) == 0 || stat(BackupFile.folder(of: folder.path), &other) == 0 else { return false }
        return one.st_dev == other.st_dev
    }
}

extension StoreUpgrade.Report {
    /// For people.
    var text: String {
        func seconds(_ duration: Duration) -> String {
            let milliseconds = duration.milliseconds
            return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
        }
        func size(_ bytes: Int) -> String { "\(bytes / 1_048_576).\(bytes % 1_048_576 * 10 / 1_048_576) MiB" }
        return """
            schema      \(from) to \(to)
            snapshot    \(seconds(snapshotTook))
            migration   \(seconds(took)), in which relayd does not answer
            store       \(size(bytesBefore)) now, \(size(bytesAfter)) afterwards
            needed      up to \(size(Limits.upgradeSpaceFactor * max(bytesBefore, bytesAfter))) beside the store while it lasts

            """
    }
}
