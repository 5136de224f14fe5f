import FoundationEssentials
import Glibc
import RelayCrypto

/// The directory that holds one device: mode 0700, and in it `keys` (the secrets, see ``KeyRing``), `client.db` and `lock`, each with mode 0600.
package struct StateDirectory: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path }

    package var databasePath: String { path + "/client.db" }
    var keysPath: String { path + "/keys" }
    private var lockPath: String { path + "/lock" }

    /// Makes the directory when it is missing, and checks that nobody else may look into it.
    func create() throws(ClientError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            let code = errno
            throw .state(
                path: path, problem: "cannot be made: \(text(code))",
                hint: code == ENOENT ? "make the directory above it first" : "name a directory that you may write to")
        }
        // The umask may have taken bits away, never added any; a directory that was there before is checked, not changed.
        try check()
    }

    /// Refuses a directory or file that others may read.
    func check() throws(ClientError) {
        var info = stat()
        guard lstat(path, &info) == 0 else {
            if errno == ENOENT { throw .notEnrolled(path: path) }
            throw .state(path: path, problem: "cannot be read: \(text(errno))", hint: "name a directory of your own")
        }
        guard info.st_mode & S_IFMT == S_IFDIR else { throw .state(path: path, problem: "is not a directory", hint: "name a directory") }
        try checkOwnerAndMode(path, info, widest: 0o700)
        for file in [keysPath, databasePath, databasePath + "-wal", databasePath + "-shm", lockPath] {
            guard lstat(file, &info) == 0 else { continue }
            guard info.st_mode & S_IFMT == S_IFREG else { throw .state(path: file, problem: "is not a file", hint: "name another directory") }
            try checkOwnerAndMode(file, info, widest: 0o600)
        }
    }

    private func checkOwnerAndMode(_ file: String, _ info: stat, widest: mode_t) throws(ClientError) {
        guard info.st_uid == geteuid() else {
            throw .state(path: file, problem: "belongs to another user", hint: "name a directory of your own")
        }
        let mode = info.st_mode & 0o777
        guard mode & ~widest == 0 else {
            throw .state(
                path: file, problem: "can be read by others (mode \(octal(mode)), it must be at most \(octal(widest)))",
                hint: "chmod \(String(widest, radix: 8)) \(file)")
        }
    }

    private func octal(_ mode: mode_t) -> String { "0" + String(mode, radix: 8) }
    private func text(_ code: Int32) -> String { String(cString: strerror(code)) }

    // MARK: Lock

    /// Held while the value lives: one process a directory.
    final class Lock {
        private let descriptor: Int32
        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit {
            // A program that is being started elsewhere in this process has a copy of the descriptor until its exec: closing alone would not unlock.
            flock(descriptor, LOCK_UN)
            close(descriptor)
        }
    }

    func lock() throws(ClientError) -> Lock {
        let descriptor = open(lockPath, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .state(path: lockPath, problem: "cannot be opened: \(text(errno))", hint: "name a directory of your own") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .locked(path: path)
        }
        return Lock(descriptor)
    }

    /// SQLite gives its side files the mode of the database, so the database is made before SQLite sees it.
    func createDatabaseFile() throws(ClientError) {
        let descriptor = open(databasePath, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw .state(path: databasePath, problem: "cannot be made: \(text(errno))", hint: "name a directory that you may write to")
        }
        close(descriptor)
    }

    // MARK: Keys

    /// Writes the secrets so that either the whole new file is there after a crash or the whole old one. What it replaces is overwritten, as far as the
    /// file system lets it be.
    func write(_ keys: KeyRing) throws(ClientError) {
        var bytes = keys.encoded()
        defer { wipe(&bytes) }
        let temporary = keysPath + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .state(path: temporary, problem: "cannot be made: \(text(errno))", hint: "is the disk full?") }
        let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        let flushed = written == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        let former = open(keysPath, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        defer { if former >= 0 { close(former) } }
        guard flushed, rename(temporary, keysPath) == 0 else {
            let code = errno
            unlink(temporary)
            throw .state(path: keysPath, problem: "cannot be written: \(text(code))", hint: "is the disk full?")
        }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
        // Not before the new one is there for good. Nobody reads this one any more, unless they had it open: they read it at once, or read it again.
        var info = stat()
        guard former >= 0, fstat(former, &info) == 0, info.st_nlink == 0 else { return }
        let zeros = [UInt8](repeating: 0, count: min(Int(info.st_size), KeyRing.fileBytes))
        _ = zeros.withUnsafeBytes { pwrite(former, $0.baseAddress, $0.count, 0) }
        fsync(former)
    }

    func readKeys() throws(ClientError) -> KeyRing? {
        for last in [false, true] {
            let descriptor = open(keysPath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else {
                if errno == ENOENT { return nil }
                throw .state(path: keysPath, problem: "cannot be read: \(text(errno))", hint: "name a directory of your own")
            }
            defer { close(descriptor) }
            var buffer = [UInt8](repeating: 0, count: KeyRing.fileBytes + 1)
            defer { wipe(&buffer) }
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            var bytes = Array(buffer.prefix(max(0, count)))
            defer { wipe(&bytes) }
            if let keys = KeyRing(encoded: bytes) { return keys }
            var info = stat()
            // Who only looks may have met a file that was being replaced.
            if last || fstat(descriptor, &info) != 0 || info.st_nlink > 0 { break }
        }
        throw .state(path: keysPath, problem: "is not a key file of this client", hint: "restore it, or enrol again in another directory")
    }
}
