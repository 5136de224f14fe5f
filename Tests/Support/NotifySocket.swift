import Foundation
import Synchronization

/// The receiving end of sd_notify(3): tells the moment when a service says something, such as that it is ready.
final class NotifySocket: Sendable {
    let path: String
    private let descriptor: Int32

    init(path: String) throws {
        self.path = path
        unlink(path)
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SupportFailure.system("making the notification socket") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw SupportFailure("the socket path is too long: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0 else { throw SupportFailure.system("binding the notification socket") }
        chmod(path, 0o666)
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// Returns when `process` has sent a line, such as `READY=1`; throws when it ended instead, or was silent for five minutes. What it said before
    /// and nobody waited for is skipped.
    func wait(for line: String, from process: Subprocess) async throws {
        let ended = try process.descriptorThatHangsUpAtExit()
        let socket = descriptor
        try await blocking {
            defer { close(ended) }
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                var waiting = [pollfd(fd: socket, events: Int16(POLLIN), revents: 0), pollfd(fd: ended, events: 0, revents: 0)]
                let ready = poll(&waiting, 2, 300_000)
                if ready == -1, errno == EINTR { continue }
                guard ready > 0 else { throw SupportFailure("relayd did not say \(line) within five minutes") }
                if waiting[0].revents != 0 {
                    let count = recv(socket, &buffer, buffer.count, 0)
                    let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
                    if text.split(separator: "\n").contains(Substring(line)) { return }
                } else if waiting[1].revents != 0 {
                    throw SupportFailure("relayd ended before it said \(line)")
                }
            }
        }
    }
}
