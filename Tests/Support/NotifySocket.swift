import Foundation
import Synchronization

/// The receiving end of sd_notify(3): tells the moment when a service says something, such as that it is ready. Reads all the time, as systemd does:
/// a service waits for a reader when ten messages lie there.
final class NotifySocket: Sendable {
    let path: String
    private let descriptor: Int32
    /// What was said and nobody has waited for.
    private let said = Said()
    /// Has a byte for each message.
    private let arrivals: (reading: Int32, writing: Int32)

    private final class Said: Sendable {
        let messages = Mutex<[String]>([])
    }

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
        let descriptor = descriptor
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0 else { throw SupportFailure.system("binding the notification socket") }
        chmod(path, 0o666)
        var pipe: [Int32] = [0, 0]
        // As a pipe, but closed on exec from the beginning.
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pipe) == 0 else {
            throw SupportFailure.system("making a pipe")
        }
        arrivals = (pipe[0], pipe[1])
        Thread.detachNewThread { [descriptor, said, writing = pipe[1]] in
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count == -1, errno == EINTR { continue }
                guard count > 0 else { break }
                said.messages.withLock { $0.append(String(decoding: buffer.prefix(count), as: UTF8.self)) }
                _ = write(writing, [1], 1)
            }
            close(descriptor)
            close(writing)
        }
    }

    deinit {
        // Ends the thread, which closes it.
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(arrivals.reading)
        unlink(path)
    }

    /// Returns when `process` has sent a line, such as `READY=1`; throws when it ended instead, or was silent for five minutes. What it said before
    /// and nobody waited for is skipped.
    func wait(for line: String, from process: Subprocess) async throws {
        let ended = try process.descriptorThatHangsUpAtExit()
        let (arrivals, said) = (arrivals.reading, said)
        try await blocking {
            defer { close(ended) }
            while true {
                var waiting = [pollfd(fd: arrivals, events: Int16(POLLIN), revents: 0), pollfd(fd: ended, events: 0, revents: 0)]
                let ready = poll(&waiting, 2, 300_000)
                if ready == -1, errno == EINTR { continue }
                guard ready > 0 else { throw SupportFailure("relayd did not say \(line) within five minutes") }
                if waiting[0].revents != 0 {
                    var byte: UInt8 = 0
                    guard read(arrivals, &byte, 1) == 1 else { throw SupportFailure("the notification socket was closed") }
                    let text = said.messages.withLock { $0.removeFirst() }
                    if text.split(separator: "\n").contains(Substring(line)) { return }
                } else if waiting[1].revents != 0 {
                    throw SupportFailure("relayd ended before it said \(line)")
                }
            }
        }
    }
}
