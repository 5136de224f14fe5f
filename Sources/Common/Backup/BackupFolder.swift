import Glibc
import RelayCrypto
import RelayModel
import RelaySQLite

/// How far a backup is.
package struct BackupProgress: Sendable, Equatable {
    package enum Phase: String, Codable, Sendable { case copying, checking }
    package var phase: Phase
    /// 0 to 1, of the phase.
    package var fraction: Double
    package init(phase: Phase, fraction: Double) {
        self.phase = phase
        self.fraction = fraction
    }
}

/// A backup of the folder.
package struct BackupEntry: Sendable {
    package var name: String
    package var bytes: Int
    /// A failure: the file is no backup, or not a whole one.
    package var manifest: Result<BackupManifest, BackupError>
}

/// Others are kept from making backups in a folder as long as this is there.
package final class BackupFolderHold: Sendable {
    private let folder: Int32
    fileprivate init(_ folder: Int32) { self.folder = folder }
    deinit { close(folder) }
}

/// The folder of backups: makes them, lists them, lets the old ones go. Names are of times, never of people. Any thread that may wait.
package struct BackupFolder: Sendable {
    package var path: String
    private let clock: any WallClock

    package init(path: String, clock: any WallClock) {
        self.path = path
        self.clock = clock
    }

    private static let ending = ".backup"
    private static let unfinished = ".partial"

    package func file(_ name: String) -> BackupFile { BackupFile(path: "\(path)/\(name)") }

    /// The newest first; what cannot be read is among them.
    package func entries() throws(BackupError) -> [BackupEntry] {
        names(ending: Self.ending).map { name in
            let file = file(name)
            return BackupEntry(name: name, bytes: file.bytes, manifest: Result { () throws(BackupError) in try file.manifest() })
        }.sorted { left, right in
            // One without a readable manifest has no time, and comes last.
            let times = [left, right].map { try? $0.manifest.get().at }
            return (times[0] ?? Timestamp(milliseconds: 0), left.name) > (times[1] ?? Timestamp(milliseconds: 0), right.name)
        }
    }

    private func names(ending: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var found: [String] = []
        while found.count < Limits.backupFiles, let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasSuffix(ending) { found.append(name) }
        }
        return found
    }

    // MARK: Making one

    /// Copies a store while it is in use, checks the copy, and gives it its name. A file that is not whole never has one.
    ///
    /// - Parameters:
    ///   - store: the path of the database.
    ///   - hold: nil: nobody has the folder.
    ///   - rest: waits between two steps.
    ///   - isCancelled: asked before each step.
    package func create(
        of store: String, relayVersion: String, reason: BackupManifest.Reason, hold: BackupFolderHold? = nil,
        monotonic: any MonotonicClock = SystemMonotonicClock(),
        rest: (Duration) -> Void = BackupFolder.sleep, isCancelled: () -> Bool = { false }, progress: (BackupProgress) -> Void = { _ in }
    ) throws(BackupError) -> (name: String, manifest: BackupManifest) {
        let held: BackupFolderHold
        if let hold { held = hold } else { held = try self.hold() }
        defer { withExtendedLifetime(held) {} }
        // Left behind by a process that died.
        for name in names(ending: Self.unfinished) { unlink("\(path)/\(name)") }
        let needed = Database.bytes(store) + Limits.backupManifestBytes
        try checkRoom(needed)
        let at = clock.now()
        let name = freeName(at, reason)
        let partial = "\(path)/\(name)\(Self.unfinished)"
        do {
            let file = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard file >= 0 else { throw BackupError.folder(path, String(cString: strerror(errno))) }
            defer { close(file) }
            try copy(store, to: partial, file, monotonic: monotonic, rest: rest, isCancelled: isCancelled, progress: progress)
            let manifest = try describe(
                partial, file, relayVersion: relayVersion, at: at, reason: reason, isCancelled: isCancelled, progress: progress)
            guard rename(partial, "\(path)/\(name)") == 0 else { throw BackupError.failed(String(cString: strerror(errno))) }
            try BackupFile.flushFolder(of: "\(path)/\(name)")
            return (name, manifest)
        } catch {
            unlink(partial)
            unlink(partial + "-journal")
            if let error = error as? BackupError { throw error }
            if let error = error as? SQLiteError, error.isFull { throw .noRoom(needed: needed, free: BackupFile.free(at: path) ?? 0) }
            throw .failed("\(error)")
        }
    }

    package static func sleep(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        nanosleep(&time, nil)
    }

    private func copy(
        _ store: String, to partial: String, _ file: Int32, monotonic: any MonotonicClock, rest: (Duration) -> Void, isCancelled: () -> Bool,
        progress: (BackupProgress) -> Void
    ) throws {
        let source = try Database(path: store, access: .readOnly)
        let destination = try Database(path: partial, access: .scratch)
        let copy = try OnlineCopy(from: source, to: destination)
        var steps = 0
        while true {
            if isCancelled() { throw BackupError.stopped }
            let began = monotonic.nanoseconds()
            if try copy.step(pages: Limits.backupStepPages) { break }
            steps += 1
            if steps.isMultiple(of: Limits.backupFlushSteps) {
                guard fdatasync(file) == 0 else { throw BackupError.failed(String(cString: strerror(errno))) }
                try checkRoom(copy.remaining * 4096)
            }
            progress(BackupProgress(phase: .copying, fraction: 1 - Double(copy.remaining) / Double(max(1, copy.pages))))
            rest(min(.nanoseconds(monotonic.nanoseconds() - began), Limits.backupRest))
        }
        try copy.finish()
    }

    /// Checks the copy and writes the page behind it.
    private func describe(
        _ partial: String, _ file: Int32, relayVersion: String, at: Timestamp, reason: BackupManifest.Reason, isCancelled: () -> Bool,
        progress: (BackupProgress) -> Void
    ) throws -> BackupManifest {
        progress(BackupProgress(phase: .checking, fraction: 0))
        // The copy says that it has a write-ahead log beside it, as the store does. It has none: SQLite's file format, bytes 18 and 19.
        guard pwrite(file, [1, 1] as [UInt8], 2, 18) == 2 else { throw BackupError.failed(String(cString: strerror(errno))) }
        let contents: StoreContents
        do {
            let database = try Database(path: partial, access: .immutable)
            let answer = try database.text("PRAGMA quick_check(1)") ?? "no answer"
            guard answer == "ok" else { throw BackupError.damaged("the store itself is damaged: \(answer)") }
            contents = try StoreContents(of: database)
        }
        let bytes = Database.fileBytes(partial)
        let hash = StreamHash()
        var read = 0
        try BackupFile.pieces(of: file, bytes: bytes) { piece throws(BackupError) in
            if isCancelled() { throw .stopped }
            hash.add(piece)
            read += piece.count
            progress(BackupProgress(phase: .checking, fraction: Double(read) / Double(max(1, bytes))))
        }
        let manifest = BackupManifest(
            relayVersion: relayVersion, schema: contents.schema, at: at, reason: reason, databaseBytes: bytes, hash: HexText.of(hash.finish()),
            stamp: "\(contents.stamp)", rows: contents.rows)
        let page = try manifest.page()
        guard lseek(file, 0, SEEK_END) == off_t(bytes) else { throw BackupError.failed("the copy has changed") }
        try BackupFile.write(page, to: file)
        guard fsync(file) == 0 else { throw BackupError.failed(String(cString: strerror(errno))) }
        return manifest
    }

    /// Makes the folder when it is missing: what is in it is the owner's alone.
    private func prepare() throws(BackupError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .folder(path, String(cString: strerror(errno))) }
        guard access(path, W_OK | X_OK) == 0 else { throw .folder(path, String(cString: strerror(errno))) }
    }

    /// Keeps others from making backups here, and so from taking what has no name yet for somebody's who died.
    package func hold() throws(BackupError) -> BackupFolderHold {
        try prepare()
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .folder(path, String(cString: strerror(errno))) }
        let hold = BackupFolderHold(folder)
        guard flock(folder, LOCK_EX | LOCK_NB) == 0 else { throw .running }
        return hold
    }

    // MARK: What may turn out not to be wanted

    /// Takes a backup's name away: unless it is given back, whoever makes the next backup deletes the file. While the folder is held.
    package func setAside(_ name: String) throws(BackupError) -> BackupFile {
        let file = BackupFile(path: "\(path)/\(name)\(Self.unfinished)")
        guard rename("\(path)/\(name)", file.path) == 0 else { throw .failed(String(cString: strerror(errno))) }
        return file
    }

    package func giveBack(_ name: String) throws(BackupError) {
        guard rename("\(path)/\(name)\(Self.unfinished)", "\(path)/\(name)") == 0 else { throw .failed(String(cString: strerror(errno))) }
        try BackupFile.flushFolder(of: "\(path)/\(name)")
    }

    private func checkRoom(_ needed: Int) throws(BackupError) {
        guard let free = BackupFile.free(at: path) else { return }
        guard free >= needed + Limits.backupReserveBytes else { throw .noRoom(needed: needed + Limits.backupReserveBytes, free: free) }
    }

    /// `relay-20261121T203814Z.backup`
    private func freeName(_ at: Timestamp, _ reason: BackupManifest.Reason) -> String {
        let digits = String(at.description.prefix(19)).filter { $0 != "-" && $0 != ":" }
        let base = (reason == .upgrade ? "upgrade-" : "relay-") + digits + "Z"
        var name = base + Self.ending
        var number = 1
        while access("\(path)/\(name)", F_OK) == 0, number < Limits.backupFiles {
            number += 1
            name = "\(base)-\(number)\(Self.ending)"
        }
        return name
    }

    // MARK: Letting go

    /// Which backups go: those beyond the newest `keep`, and those that are older than `days`; both must hold where both are given. The newest one that is
    /// whole stays in any case, and so does what is no whole backup: somebody should look at that.
    package func expendable(keep: Int?, days: Int?) throws(BackupError) -> [BackupEntry] {
        guard keep != nil || days != nil else { return [] }
        let whole = try entries().filter { (try? $0.manifest.get()) != nil }
        let oldest = days.map { Timestamp(milliseconds: clock.now().milliseconds - Int64($0) * 86_400_000) }
        return whole.enumerated().filter { index, entry in
            guard index > 0, let at = try? entry.manifest.get().at else { return false }
            if let keep, index < keep { return false }
            if let oldest, at >= oldest { return false }
            return true
        }.map(\.element)
    }

    /// Deletes one. What was there was in a file of its own: nothing of it is left in others.
    package func remove(_ entry: BackupEntry) throws(BackupError) {
        guard unlink("\(path)/\(entry.name)") == 0 else { throw .failed("\(entry.name) cannot be deleted: \(String(cString: strerror(errno)))") }
    }
}
