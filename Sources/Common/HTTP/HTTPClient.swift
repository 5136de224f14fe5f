import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import RelayTLS

/// A whole reply.
package struct HTTPReply: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: [UInt8]

    package init(status: Int, headers: HTTPHeaders, body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// What the system said about a failed call.
package struct IOErrorInfo: Sendable, Equatable, CustomStringConvertible {
    /// Such as `EACCES`, `ENOENT`, `ECONNREFUSED`; 0 when the failure has no number (an unknown host name).
    package var errnoCode: Int32
    package var text: String

    package init(errnoCode: Int32, text: String) {
        self.errnoCode = errnoCode
        self.text = text
    }

    package var description: String { text }

    /// - Parameter number: as `errno` has it.
    init(number: Int32) { self.init(errnoCode: number, text: String(cString: strerror(number))) }

    /// Finds the number in what NIO throws.
    init(_ error: any Error) {
        switch error {
        case let error as IOError:
            self.init(number: error.errnoCode)
        case let error as NIOConnectionError:
            // One failure for each address of the host; the last one is as good as any.
            if let last = error.connectionErrors.last {
                self.init(last.error)
            } else {
                self.init(errnoCode: 0, text: "the host name cannot be resolved")
            }
        default:
            self.init(errnoCode: 0, text: "\(error)")
        }
    }
}

/// Why a request got no reply.
package enum HTTPClientError: Error, Sendable, CustomStringConvertible {
    case connect(IOErrorInfo)
    /// There is a server, but no TLS with it.
    case tls(TLSFailure)
    case timeout
    /// The connection ended before the whole reply had come.
    case closed
    case replyTooLarge
    case malformed(String)

    package var description: String {
        switch self {
        case .connect(let info): "cannot connect: \(info.text)"
        case .tls(let failure): failure.description
        case .timeout: "no reply in time"
        case .closed: "the connection was closed before the reply was complete"
        case .replyTooLarge: "the reply is larger than expected"
        case .malformed(let what): "the reply is not HTTP: \(what)"
        }
    }
}

/// HTTP/1.1 over one kept-alive connection, requests one after another. When the kept connection turns out to be closed before any
/// byte of a reply, the request is sent once more on a new one. Any thread.
package final class HTTPClient: Sendable {
    private let connection: NIOLoopBoundBox<HTTPClientConnection>
    private let loop: any EventLoop

    /// - Parameters:
    ///   - timeout: from the request (waiting for earlier ones included) to the end of its reply.
    ///   - maxReplyBytes: of one reply's body.
    package init(endpoint: Endpoint, group: any EventLoopGroup, timeout: Duration = .seconds(30), maxReplyBytes: Int = 16 << 20) {
        loop = group.next()
        connection = .makeBoxSendingValue(
            HTTPClientConnection(endpoint: endpoint, loop: loop, timeout: TimeAmount(timeout), maxReplyBytes: maxReplyBytes), eventLoop: loop)
    }

    /// A client whose connections are opened by somebody else.
    init(
        endpoint: Endpoint, on loop: any EventLoop, open: @escaping @Sendable (Endpoint, any EventLoop, TimeAmount) -> EventLoopFuture<any Channel>
    ) {
        self.loop = loop
        connection = .makeBoxSendingValue(
            HTTPClientConnection(endpoint: endpoint, loop: loop, timeout: .seconds(30), maxReplyBytes: 1 << 20, open: open), eventLoop: loop)
    }

    /// Sends one request and waits for its whole reply. Replies of every status are returned, not thrown.
    /// - Parameter timeout: for this request; nil: the client's.
    package func request(
        _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8]? = nil, timeout: Duration? = nil
    ) async throws(HTTPClientError) -> HTTPReply {
        let promise = loop.makePromise(of: Result<HTTPReply, HTTPClientError>.self)
        var fields = HTTPHeaders()
        for (name, value) in headers { fields.add(name: name, value: value) }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: fields)
        loop.execute { self.connection.value.submit(HTTPExchange(head: head, body: body, timeout: timeout.map(TimeAmount.init), promise: promise)) }
        let result: Result<HTTPReply, HTTPClientError>
        do { result = try await promise.futureResult.get() } catch { result = .failure(.closed) }
        return try result.get()
    }

    /// Ends the connection; requests that wait fail with `closed`.
    package func close() async {
        let done = loop.makePromise(of: Void.self)
        loop.execute { self.connection.value.close(done) }
        try? await done.futureResult.get()
    }
}
