import Glibc

/// Reads files of any size a piece at a time.
enum ScannedFile {
    /// One read; bounds the memory of a scan.
    static let chunkBytes = 1 << 20

    /// Calls `body` with each piece; the last call has an empty one. Throws ``PrivacySkip`` when the file cannot be read.
    static func read(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) throws(PrivacySkip) {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard file >= 0 else { throw PrivacySkip(reason: "\(path) cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(file) }
        try read(descriptor: file, path, body)
    }

    static func read(descriptor file: Int32, _ name: String, _ body: (UnsafeRawBufferPointer) -> Void) throws(PrivacySkip) {
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw PrivacySkip(reason: "\(name) cannot be read: \(String(cString: strerror(errno)))") }
            chunk.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            if count == 0 { return }
        }
    }
}

struct FileIdentity: Hashable {
    var device: UInt64
    var number: UInt64
}

/// What the file system says of a path, links followed unless asked otherwise.
struct FileFacts {
    var mode: mode_t
    var owner: uid_t
    /// Which file it is, whatever it is called.
    var identity: FileIdentity

    /// Nil when there is no such file, or it may not be looked at.
    init?(_ path: String, follow: Bool = true) {
        var status = stat()
        guard (follow ? stat(path, &status) : lstat(path, &status)) == 0 else { return nil }
        mode = status.st_mode
        owner = status.st_uid
        identity = FileIdentity(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }

    var kind: mode_t { mode & S_IFMT }
    var isRegular: Bool { kind == S_IFREG }
    var isDirectory: Bool { kind == S_IFDIR }
    var isSocket: Bool { kind == S_IFSOCK }
    /// `0640`
    var permissions: String {
        let text = String(mode & 0o7777, radix: 8)
        return String(repeating: "0", count: max(0, 4 - text.count)) + text
    }

    /// Names in a directory, sorted; nil when it cannot be read.
    static func names(in directory: String) -> [String]? {
        guard let stream = opendir(directory) else { return nil }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Where a link points.
    static func target(of link: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { room in
            guard let start = room.baseAddress else { return 0 }
            return readlink(link, start.assumingMemoryBound(to: CChar.self), room.count)
        }
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }

    /// A small file's text, such as those of proc(5).
    static func text(_ path: String) -> String? {
        var bytes: [UInt8] = []
        do throws(PrivacySkip) {
            try ScannedFile.read(path) { if bytes.count < 1 << 16 { bytes += $0 } }
        } catch { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
