import FoundationEssentials
import Glibc

/// Why the control socket cannot be made.
package enum SocketFileError: Error, Equatable, CustomStringConvertible {
    case pathTooLong(String, limit: Int)
    case directory(String, String)
    case inUse(String)
    case notASocket(String)
    case unusable(String, String)

    package var description: String {
        switch self {
        case .pathTooLong(let path, let limit): "the control socket's path \(path) is longer than \(limit) bytes"
        case .directory(let path, let why): "the control socket's directory \(path) cannot be made: \(why)"
        case .inUse(let path): "another relayd answers on the control socket \(path)"
        case .notASocket(let path): "\(path) is in the way of the control socket: it is not a socket"
        case .unusable(let path, let why): "the control socket \(path) cannot be used: \(why)"
        }
    }
}

/// The file of the control socket.
enum SocketFile {
    /// `sizeof(sockaddr_un.sun_path)` without the closing zero.
    static let pathBytes = 107

    /// Makes the directory when it is missing, and removes a socket that a dead process left behind. A socket on which somebody
    /// answers stays, and so does everything that is not a socket.
    static func prepare(_ path: String) throws(SocketFileError) {
        guard path.utf8.count <= pathBytes else { throw .pathTooLong(path, limit: pathBytes) }
        try makeDirectory(of: path)
        // Of a link the link itself, as lstat(2); whose `stat` belongs to whichever C module is imported first.
        let type: FileAttributeType?
        do { type = try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType } catch {
            guard access(path, F_OK) != 0, errno == ENOENT else { throw .unusable(path, "its kind cannot be told") }
            return
        }
        guard type == .typeSocket else { throw .notASocket(path) }
        guard try !answers(path) else { throw .inUse(path) }
        guard unlink(path) == 0 || errno == ENOENT else { throw .unusable(path, text(errno)) }
    }

    /// Everybody may connect, as with PostgreSQL's peer authentication: the caller's credentials decide, so that a stranger
    /// gets an answer that says what is missing.
    static func open(_ path: String) throws(SocketFileError) {
        guard chmod(path, 0o666) == 0 else { throw .unusable(path, text(errno)) }
    }

    private static func makeDirectory(of path: String) throws(SocketFileError) {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        let directory = String(path[..<slash])
        guard mkdir(directory, 0o755) == 0 else {
            guard errno == EEXIST else { throw .directory(directory, text(errno)) }
            return
        }
        // The process's umask keeps everything else private; here operators must pass.
        guard chmod(directory, 0o755) == 0 else { throw .directory(directory, text(errno)) }
    }

    private static func answers(_ path: String) throws(SocketFileError) -> Bool {
        // Without blocking: a full queue behind the socket is an answer, too.
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard socket >= 0 else { throw .unusable(path, text(errno)) }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        if result == 0 { return true }
        switch errno {
        case ECONNREFUSED, ENOENT: return false
        case EAGAIN, EINPROGRESS: return true
        default: throw .unusable(path, text(errno))
        }
    }

    private static func text(_ number: Int32) -> String { String(cString: strerror(number)) }
}
