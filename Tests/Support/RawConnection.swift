import Foundation

/// A plain TCP connection that says exactly the bytes it is given: for everything that a well-behaved client library would not do.
/// Blocks; used inside `blocking`. One thread may send while another one reads.
package final class RawConnection: @unchecked Sendable {
    private let descriptor: Int32
    /// What the socket gave; everything before `taken` has been read.
    private var received: [UInt8] = []
    private var taken = 0
    private var unread: ArraySlice<UInt8> { received[taken...] }

    /// - Parameter timeout: seconds after which a read gives up; a test that gets there has failed.
    package init(port: Int, timeout: Int = 30) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        try connect(to: &address, timeout: timeout)
    }

    /// The same over a Unix socket.
    package init(socket path: String, timeout: Int = 30) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw SupportFailure("the socket path is too long: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try connect(to: &address, timeout: timeout)
    }

    private func connect<Address>(to address: inout Address, timeout: Int) throws {
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard connected == 0 else { throw SupportFailure.system("connecting") }
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Gives false when the other side closed the connection already: that is an answer too.
    @discardableResult package func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count == -1, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    @discardableResult package func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// No more bytes will come from here.
    package func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends the connection as a client that has lost its network: with a reset (TCP's RST), whatever is under way. Nothing can be done with it afterwards.
    package func reset() {
        // Connecting to no address resets; the descriptor stays this object's. connect(2): AF_UNSPEC dissolves the association.
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        _ = Foundation.connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    package enum Ending: Error { case closed, silent }

    private func fill() throws {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 {
                received.removeFirst(taken)
                taken = 0
                received += buffer[..<count]
                return
            }
            if count == -1, errno == EINTR { continue }
            if count == -1, errno == EAGAIN { throw Ending.silent }
            throw Ending.closed
        }
    }

    package func read(_ count: Int) throws -> [UInt8] {
        while received.count - taken < count { try fill() }
        defer { taken += count }
        return Array(received[taken..<(taken + count)])
    }

    /// Whether the other side ends the connection, or has ended it, although nothing is read.
    package func hangsUp(within seconds: Int32 = 30) -> Bool {
        // POLLRDHUP of poll(2), which Glibc's module leaves out.
        var looked = pollfd(fd: descriptor, events: 0x2000, revents: 0)
        return poll(&looked, 1, seconds * 1000) == 1
    }

    /// Reads until the other side closes; throws `silent` when it does not.
    package func readToEnd() throws -> [UInt8] {
        while true {
            do { try fill() } catch Ending.closed { return Array(unread) }
        }
    }

    // MARK: HTTP

    package struct Reply {
        package var status: Int
        package var headers: [String: String]
        package var body: [UInt8]
        package var text: String { String(decoding: body, as: UTF8.self) }
        /// The `code` of a typed error.
        package var errorCode: String? { (try? JSONDecoder().decode(TypedError.self, from: Data(body)))?.code }
    }

    package struct TypedError: Decodable {
        package var code: String
        package var message: String?
        package var hint: String?
    }

    package func readReply() throws -> Reply {
        let end = Array("\r\n\r\n".utf8)
        while unread.firstRange(of: end) == nil { try fill() }
        let range = unread.firstRange(of: end) ?? taken..<taken
        let head = String(decoding: received[taken..<range.lowerBound], as: UTF8.self)
        taken = range.upperBound
        let lines = head.split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw SupportFailure("no status line: \(head)")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        var body: [UInt8] = []
        if let length = headers["content-length"].flatMap({ Int($0) }) { body = try read(length) }
        return Reply(status: status, headers: headers, body: body)
    }

    package func request(_ method: String, _ path: String, headers: [String: String] = [:], body: [UInt8]? = nil) throws -> Reply {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: relay\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        send(Array((head + "\r\n").utf8) + (body ?? []))
        return try readReply()
    }

    package func json(_ method: String, _ path: String, _ body: String, headers: [String: String] = [:]) throws -> Reply {
        try request(method, path, headers: headers.merging(["Content-Type": "application/json"]) { first, _ in first }, body: Array(body.utf8))
    }

    // MARK: WebSocket

    /// Asks for `/v1/connect`; the reply is 101 when it worked.
    package func upgrade(token: String, path: String = "/v1/connect", subprotocol: String = "relay.v1.json", version: String = "13") throws -> Reply {
        try request(
            "GET", path,
            headers: [
                "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": version, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Protocol": subprotocol, "Authorization": "Bearer \(token)",
            ])
    }

    /// One frame as a client sends it (RFC 6455, section 5.2).
    /// - Parameter key: a key of zeros leaves the payload as it is, which saves the time of masking it here.
    package static func frame(
        opcode: UInt8, _ payload: [UInt8], final: Bool = true, masked: Bool = true, reserved: UInt8 = 0, claimedLength: Int? = nil,
        key: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
    ) -> [UInt8] {
        let length = claimedLength ?? payload.count
        var bytes: [UInt8] = [(final ? 0x80 : 0) | reserved << 4 | opcode]
        let mask: UInt8 = masked ? 0x80 : 0
        if length < 126 {
            bytes.append(mask | UInt8(length))
        } else if length <= 0xffff {
            bytes += [mask | 126, UInt8(length >> 8), UInt8(length & 0xff)]
        } else {
            bytes.append(mask | 127)
            bytes += (0..<8).reversed().map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) }
        }
        guard masked else { return bytes + payload }
        if key == [0, 0, 0, 0] { return bytes + key + payload }
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    package struct Frame {
        package var opcode: UInt8
        package var payload: [UInt8]
        package var text: String { String(decoding: payload, as: UTF8.self) }
        package var closeCode: UInt16? { opcode == 8 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil }
    }

    package func readFrame() throws -> Frame {
        let head = try read(2)
        var length = Int(head[1] & 0x7f)
        if length == 126 {
            length = try read(2).reduce(0) { $0 << 8 | Int($1) }
        } else if length == 127 {
            length = try read(8).reduce(0) { $0 << 8 | Int($1) }
        }
        return Frame(opcode: head[0] & 0x0f, payload: try read(length))
    }

    /// Reads on until the close frame and gives its code; nil when the connection ended without one.
    package func readCloseCode() throws -> UInt16? {
        do {
            while true {
                let frame = try readFrame()
                if frame.opcode == 8 { return frame.closeCode }
            }
        } catch Ending.closed {
            return nil
        }
    }

    /// Reads on until a text frame that contains `text`.
    package func readText(containing text: String) throws -> String {
        while true {
            let frame = try readFrame()
            if frame.opcode == 8 { throw SupportFailure("closed with \(frame.closeCode.map(String.init) ?? "no code") instead of “\(text)”") }
            if frame.opcode == 1, frame.text.contains(text) { return frame.text }
        }
    }
}
