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
        /// The snapshot, which stays as the way back; empty when it was for the rehearsal only.
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

    /// Everything but the store itself. The store may be in use.
    /// - Parameter keepsSnapshot: as the way back.
    func rehearse(keepsSnapshot: Bool, progress: (String) -> Void = { _ in }) throws(Refused) -> Report? {
        guard let (from, to) = try pending() else { return nil }
        let size = Database.bytes(store)
        let began = monotonic.nanoseconds()
        let name: String
        let manifest: BackupManifest
        do throws(BackupError) {
            (name, manifest) = try folder.create(
                of: store, relayVersion: relayVersion, reason: .upgrade, rest: { _ in },
                progress: { progress("copying the store before its upgrade: \(Int($0.fraction * 100)) %") })
        } catch {
            let failure = ControlError(error, folder.path)
            throw Refused(
                description:
                    "no snapshot could be made of the store before its upgrade from schema \(from) to \(to), which is as it was: \(failure.message)",
                hint: failure.hint ?? "")
        }
        let snapshotTook = Duration.nanoseconds(monotonic.nanoseconds() - began)
        let snapshot = folder.file(name)
        let copy = "\(folder.path)/rehearsal.partial"
        // A store that stays as it is needs no way back.
        var keeps = false
        defer {
            for path in [copy, copy + "-wal", copy + "-shm", copy + "-journal"] { unlink(path) }
            if !keeps { unlink(snapshot.path) }
        }
        unlink(copy)
        progress("rehearsing the upgrade of the store")
        do {
            if let free = BackupFile.free(at: folder.path), free < 2 * manifest.databaseBytes + Limits.backupReserveBytes {
                throw BackupError.noRoom(needed: 2 * manifest.databaseBytes + Limits.backupReserveBytes, free: free)
            }
            try snapshot.extract(to: copy)
            let start = monotonic.nanoseconds()
            let after = try migrations.rehearse(on: copy)
            keeps = keepsSnapshot
            return Report(
                from: from, to: to, snapshot: keepsSnapshot ? name : "", bytesBefore: size, bytesAfter: after,
                took: .nanoseconds(monotonic.nanoseconds() - start), snapshotTook: snapshotTook)
        } catch {
            let why = (error as? BackupError).map { ControlError($0, folder.path).message } ?? "\(error)"
            throw Refused(
                description: "the upgrade of the store from schema \(from) to \(to) failed in its rehearsal: \(why)",
                hint: "the store is as it was: install the version again that ran before, and report this")
        }
    }

    /// The store itself. Nobody else has it: the caller holds its lock.
    func run(progress: (String) -> Void = { _ in }) throws(Refused) -> Report? {
        guard let report = try rehearse(keepsSnapshot: true, progress: progress) else { return nil }
        let needed = Limits.upgradeSpaceFactor * max(report.bytesBefore, report.bytesAfter)
        if let free = BackupFile.free(at: store), free < needed {
            throw Refused(
                description: "the upgrade of the store needs up to \(needed / 1_048_576 + 1) MiB beside it, and \(free / 1_048_576) MiB are free",
                hint: "the store is as it was; make room, or install the version again that ran before")
        }
        progress("upgrading the store, some \(report.took.components.seconds + 1) seconds")
        do {
            try migrations.run(on: store)
        } catch {
            throw Refused(
                description: "the upgrade of the store from schema \(report.from) to \(report.to) failed: \(error)",
                hint: "the store is as it was: install the version again that ran before; a copy from before is \(report.snapshot) in \(folder.path)")
        }
        return report
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
