import Glibc
import RelayModel
import Synchronization

/// HTTP/1.1 over one kept-alive connection to a Unix socket, requests one after another, for a program that asks little and ends: the calling thread
/// waits for the reply. Event loops would cost it more than the request. When the kept connection turns out to be closed before any byte of a reply,
/// the request is sent once more on a new one. Any thread; whoever comes while another waits, waits for that one as well.
package final class UnixHTTPClient: Sendable {
    private let path: String
    private let maxReplyBytes: Int
    private let kept = Mutex<UnixConnection?>(nil)

    /// - Parameters:
    ///   - path: of the socket; nothing is opened before the first request.
    ///   - maxReplyBytes: of one reply's body.
    package init(path: String, maxReplyBytes: Int = Limits.controlReplyBytes) {
        self.path = path
        self.maxReplyBytes = maxReplyBytes
    }

    /// Sends one request and waits for its whole reply. Replies of every status are returned, not thrown.
    /// - Parameters:
    ///   - json: the request's body.
    ///   - patience: from the call to the end of the reply.
    package func request(
        _ method: String, _ target: String, json: [UInt8] = [], patience: Duration
    ) throws(HTTPClientError) -> (status: Int, body: [UInt8]) {
        let head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(json.count)\r\n\r\n"
        let request = Array(head.utf8) + json
        let deadline = ContinuousClock.now + patience
        return try kept.withLock { kept throws(HTTPClientError) in
            if let connection = kept {
                kept = nil
                do throws(HTTPClientError) { return try exchange(request, on: connection, keep: &kept, by: deadline) } catch {
                    guard case .closed = error, !connection.hasSpoken else { throw error }
                }
            }
            return try exchange(request, on: try UnixConnection(to: path, by: deadline), keep: &kept, by: deadline)
        }
    }

    private func exchange(
        _ request: [UInt8], on connection: UnixConnection, keep kept: inout UnixConnection?, by deadline: ContinuousClock.Instant
    ) throws(HTTPClientError) -> (status: Int, body: [UInt8]) {
        connection.hasSpoken = false
        try connection.send(request, by: deadline)
        var bytes: [UInt8] = []
        var head: ReplyHead?
        while true {
            if head == nil { head = try ReplyHead(in: bytes) }
            if let head {
                guard head.bodyBytes <= maxReplyBytes else { throw .replyTooLarge }
                let end = head.bytes + head.bodyBytes
                if bytes.count >= end {
                    // What is said without being asked is no HTTP that one could go on with.
                    if !head.isLast, bytes.count == end { kept = connection }
                    return (head.status, Array(bytes[head.bytes..<end]))
                }
                bytes.reserveCapacity(end)
            } else if bytes.count > Limits.controlReplyHeadBytes {
                throw .malformed("the head of its reply has no end")
            }
            try connection.receive(into: &bytes, by: deadline)
        }
    }
}

/// The status line and the header fields of a reply, as far as they matter.
private struct ReplyHead {
    /// Of the head itself, with the line that ends it.
    var bytes: Int
    var status: Int
    var bodyBytes: Int
    /// The connection ends behind this reply.
    var isLast = false

    /// Nil while its end has not come.
    init?(in bytes: [UInt8]) throws(HTTPClientError) {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        self.bytes = end.upperBound
        // The two bytes that end a line are one character.
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = lines[0].split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]), (200..<600).contains(status) else {
            throw .malformed("no status line")
        }
        self.status = status
        var length: Int?
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw .malformed("a header field without a colon") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }.lowercased()
            switch line[..<colon].lowercased() {
            case "content-length": length = Int(value)
            case "connection": isLast = value == "close"
            default: break
            }
        }
        guard let length, length >= 0 else { throw .malformed("a reply that does not say how long it is") }
        bodyBytes = length
    }
}

/// A connected socket; closed when nobody holds it any more. Only whoever holds the client's lock uses it.
private final class UnixConnection {
    private let descriptor: Int32
    /// A byte came since the last request.
    var hasSpoken = false

    /// Throws ``HTTPClientError/connect(_:)``, also when the server takes nobody in time.
    init(to path: String, by deadline: ContinuousClock.Instant) throws(HTTPClientError) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .connect(IOErrorInfo(number: errno)) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw .connect(IOErrorInfo(number: ENAMETOOLONG)) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        // For the wait until the server accepts as well.
        setPatience(until: deadline)
        let connected = withUnsafePointer(to: &address) { [descriptor] in
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard connected == 0 else { throw .connect(IOErrorInfo(number: errno)) }
    }

    deinit { close(descriptor) }

    /// A server that hung up is no error here: what it said before may be waiting to be read.
    func send(_ bytes: [UInt8], by deadline: ContinuousClock.Instant) throws(HTTPClientError) {
        var sent = 0
        while sent < bytes.count {
            setPatience(until: deadline)
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL)) }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                throw .timeout
            } else if errno != EINTR {
                return
            }
        }
    }

    /// Adds what has come, at least one byte.
    func receive(into bytes: inout [UInt8], by deadline: ContinuousClock.Instant) throws(HTTPClientError) {
        while true {
            setPatience(until: deadline)
            let count = withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 1) { room in
                let count = recv(descriptor, room.baseAddress, room.count, 0)
                if count > 0 { bytes.append(contentsOf: room[..<count]) }
                return count
            }
            if count > 0 {
                hasSpoken = true
                return
            }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { throw .timeout }
            throw .closed
        }
    }

    /// The next call waits no longer than that.
    private func setPatience(until deadline: ContinuousClock.Instant) {
        // Zero would mean for ever.
        let left = max(deadline - .now, .microseconds(1))
        var limit = timeval(tv_sec: time_t(left.components.seconds), tv_usec: suseconds_t(left.components.attoseconds / 1_000_000_000_000))
        for option in [SO_SNDTIMEO, SO_RCVTIMEO] { setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size)) }
    }
}
