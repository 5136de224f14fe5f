import Glibc
import RelayCrypto
import RelayModel
import RelaySQLite

/// A backup as a file: a copy of the store, with a page of text behind it that says what it is. SQLite does not look beyond its own pages, so the copy
/// can be read where it lies.
package struct BackupFile: Sendable {
    package var path: String

    package init(path: String) { self.path = path }

    /// What the backup says of itself, held against the size of the file only.
    package func manifest() throws(BackupError) -> BackupManifest {
        let file = try open()
        defer { close(file) }
        return try Self.manifest(of: file)
    }

    private func open() throws(BackupError) -> Int32 {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw .unreadable(String(cString: strerror(errno))) }
        return file
    }

    private static func manifest(of file: Int32) throws(BackupError) -> BackupManifest {
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw .notABackup }
        let size = Int(status.st_size)
        guard size > Limits.backupManifestBytes else { throw .notABackup }
        var page = [UInt8](repeating: 0, count: Limits.backupManifestBytes)
        let read = pread(file, &page, page.count, off_t(size - page.count))
        guard read == page.count else { throw .unreadable(read < 0 ? String(cString: strerror(errno)) : "it became shorter") }
        guard page.starts(with: BackupManifest.mark.utf8) else {
            // The end of one is missing: then it still begins as a store does.
            var head = [UInt8](repeating: 0, count: 16)
            guard pread(file, &head, 16, 0) == 16, head.starts(with: "SQLite format 3".utf8) else { throw .notABackup }
            throw .damaged("its end is missing, or it is a store and no backup")
        }
        let manifest = try BackupManifest(page: page)
        guard manifest.databaseBytes == size - page.count else {
            throw .damaged("it is \(size) bytes long and should have \(manifest.databaseBytes + page.count)")
        }
        return manifest
    }

    // MARK: Checking

    /// What looking at a backup found.
    package struct Verdict: Sendable {
        package var manifest: BackupManifest
        /// Sentences; empty when it can be restored as it was made.
        package var findings: [String] = []
    }

    /// Reads all of it: the hash, SQLite's own check, schema, counts, and the chains of the operators' log and of the proof of purge.
    /// Takes as long as reading takes; any thread that may wait.
    ///
    /// - Parameters:
    ///   - progress: 0 to 1.
    ///   - isCancelled: asked now and then; ``BackupError/stopped`` follows.
    /// - Throws: when it is no backup at all, or cannot be read.
    package func verify(progress: (Double) -> Void = { _ in }, isCancelled: () -> Bool = { false }) throws(BackupError) -> Verdict {
        let file = try open()
        defer { close(file) }
        var verdict = Verdict(manifest: try Self.manifest(of: file))
        let manifest = verdict.manifest
        let hash = StreamHash()
        var read = 0
        try Self.pieces(of: file, bytes: manifest.databaseBytes) { piece throws(BackupError) in
            if isCancelled() { throw .stopped }
            hash.add(piece)
            read += piece.count
            progress(Double(read) / Double(max(1, manifest.databaseBytes)) * 0.5)
        }
        guard HexText.of(hash.finish()) == manifest.hash else {
            verdict.findings.append("the copy was changed: its hash is not the one it was made with")
            return verdict
        }
        do {
            let database = try Database(path: path, access: .immutable)
            let answer = try database.text("PRAGMA integrity_check(1)") ?? "no answer"
            if answer != "ok" { verdict.findings.append("SQLite says: \(answer)") }
            progress(0.9)
            let contents = try StoreContents(of: database)
            if contents.schema != manifest.schema { verdict.findings.append("its schema is \(contents.schema), not \(manifest.schema)") }
            for (table, count) in manifest.rows.sorted(by: { $0.key < $1.key }) where contents.rows[table] != count {
                verdict.findings.append("the table \(table) has \(contents.rows[table] ?? 0) rows, not \(count)")
            }
            verdict.findings += try StoreContents.chains(of: database)
        } catch {
            verdict.findings.append("it cannot be read as a store: \(error)")
        }
        progress(1)
        return verdict
    }

    /// Copies the store's bytes out of the backup to a new file, and flushes it.
    package func extract(to target: String, progress: (Double) -> Void = { _ in }) throws(BackupError) {
        let file = try open()
        defer { close(file) }
        let manifest = try Self.manifest(of: file)
        try Self.write(target) { output throws(BackupError) in
            let hash = StreamHash()
            var written = 0
            try Self.pieces(of: file, bytes: manifest.databaseBytes) { piece throws(BackupError) in
                hash.add(piece)
                try Self.write(piece, to: output)
                written += piece.count
                progress(Double(written) / Double(max(1, manifest.databaseBytes)))
            }
            guard HexText.of(hash.finish()) == manifest.hash else { throw .damaged("its hash is not the one it was made with") }
        }
    }

    /// The whole file to another place, where there is none yet. It has its name only when it is whole: who is interrupted leaves one that ends in
    /// `.partial`, which the next copy replaces.
    package func copy(to target: String, progress: (Double) -> Void = { _ in }) throws(BackupError) {
        let file = try open()
        defer { close(file) }
        let bytes = try Self.manifest(of: file).databaseBytes + Limits.backupManifestBytes
        try Self.checkIsFree(target)
        let partial = target + ".partial"
        unlink(partial)
        try Self.write(partial) { output throws(BackupError) in
            var written = 0
            try Self.pieces(of: file, bytes: bytes) { piece throws(BackupError) in
                try Self.write(piece, to: output)
                written += piece.count
                progress(Double(written) / Double(bytes))
            }
        }
        do throws(BackupError) {
            // A hard link would not replace anything; but the file systems of sticks have none.
            try Self.checkIsFree(target)
            guard rename(partial, target) == 0 else { throw .failed("\(target) cannot be made: \(String(cString: strerror(errno)))") }
        } catch {
            unlink(partial)
            throw error
        }
        try Self.flushFolder(of: target)
    }

    private static func checkIsFree(_ path: String) throws(BackupError) {
        var status = stat()
        guard lstat(path, &status) != 0 else { throw .failed("\(path) cannot be made: \(String(cString: strerror(EEXIST)))") }
    }

    // MARK: Files

    /// A new file with mode 0600 that is whole and on the disk, or not there.
    static func write(_ path: String, _ body: (Int32) throws(BackupError) -> Void) throws(BackupError) {
        let output = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw .failed("\(path) cannot be made: \(String(cString: strerror(errno)))") }
        do throws(BackupError) {
            try body(output)
            guard fsync(output) == 0 else { throw .failed("\(path) cannot be written: \(String(cString: strerror(errno)))") }
        } catch {
            close(output)
            unlink(path)
            throw error
        }
        close(output)
        try flushFolder(of: path)
    }

    static func write(_ bytes: UnsafeRawBufferPointer, to file: Int32) throws(BackupError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = Glibc.write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw .failed("writing failed: \(String(cString: strerror(errno)))")
            }
        }
    }

    static func write(_ bytes: [UInt8], to file: Int32) throws(BackupError) {
        let failure: BackupError? = bytes.withUnsafeBytes { bytes in
            do throws(BackupError) { try write(bytes, to: file) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    static func pieces(of file: Int32, bytes: Int, _ body: (UnsafeRawBufferPointer) throws(BackupError) -> Void) throws(BackupError) {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.backupReadBytes, alignment: 4096)
        defer { room.deallocate() }
        var done = 0
        while done < bytes {
            let count = pread(file, room.baseAddress, min(room.count, bytes - done), off_t(done))
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                throw .unreadable(count < 0 ? String(cString: strerror(errno)) : "it became shorter")
            }
            try body(UnsafeRawBufferPointer(rebasing: room[..<count]))
            done += count
        }
    }

    package static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// A rename or a new name is on the disk when its folder is.
    static func flushFolder(of path: String) throws(BackupError) {
        let folder = Glibc.open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .failed("\(Self.folder(of: path)): \(String(cString: strerror(errno)))") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw .failed("\(Self.folder(of: path)): \(String(cString: strerror(errno)))") }
    }

    /// Bytes that are free for this user where `path` is; nil when nobody knows.
    package static func free(at path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int(clamping: status.f_bavail) * Int(status.f_frsize)
    }

    /// 0 when there is none.
    package var bytes: Int { Database.fileBytes(path) }
}
