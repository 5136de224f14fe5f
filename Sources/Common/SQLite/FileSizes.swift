import Glibc

/// Any thread; 0 when there is no such file.
extension Database {
    /// Of one file.
    package static func fileBytes(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Of the write-ahead log of the database at a path.
    package static func logBytes(_ path: String) -> Int { fileBytes(path + "-wal") }

    /// Of the database and its write-ahead log, where what was written last is.
    package static func bytes(_ path: String) -> Int { fileBytes(path) + logBytes(path) }
}
