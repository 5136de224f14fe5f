import Hummingbird
import Logging
import HTTPTypes
import NIOCore
import NIOHTTP1
import RelayDirectory
import RelayMetrics
import RelayModel
import RelayWire
import SwiftProtobuf

/// The context of a REST request: what Hummingbird needs, and the address that limits count.
struct GatewayContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// Where the request comes from; nil for what has no address.
    let address: NetworkAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        address = ForwardedAddress.current ?? NetworkAddress(source.channel.remoteAddress)
        // Hummingbird numbers requests one after the other: two of them would tell how many came between.
        logger[metadataKey: "hb.request.id"] = nil
    }
}

extension WireEncoding {
    fileprivate func decoded<Body: Message>(_ type: Body.Type, from bytes: ByteBuffer) throws(WireFailure) -> Body {
        do { return try decode(type, from: bytes) } catch { throw .malformed("the body is not a \(Body.protoMessageName)") }
    }
}

extension Request {
    /// The encoding of the body: JSON unless `Content-Type` says protobuf.
    fileprivate var bodyEncoding: WireEncoding {
        get throws(WireFailure) {
            guard let type = headers[.contentType] else { return .json }
            switch type.prefix(while: { $0 != ";" && $0 != " " }).lowercased() {
            // The second is what curl names when nobody tells it otherwise.
            case "application/json", "application/x-www-form-urlencoded": return .json
            case "application/x-protobuf", "application/protobuf": return .proto
            default: throw .malformed("Content-Type must be application/json or application/x-protobuf")
            }
        }
    }

    /// The encoding of the reply: what `Accept` names, otherwise the encoding of the request.
    fileprivate var replyEncoding: WireEncoding {
        if let accept = headers[.accept]?.lowercased() {
            if accept.contains("protobuf") { return .proto }
            if accept.contains("json") { return .json }
        }
        return (try? bodyEncoding) ?? .json
    }

    /// Reads and decodes the body, at most `maxBytes` of it.
    func decode<Body: Message>(_ type: Body.Type, maxBytes: Int) async throws -> Body {
        try bodyEncoding.decoded(type, from: try await collect(maxBytes))
    }

    /// A body that may be left out.
    func decodeIfAny<Body: Message>(_ type: Body.Type, maxBytes: Int) async throws -> Body? {
        let bytes = try await collect(maxBytes)
        return bytes.readableBytes == 0 ? nil : try bodyEncoding.decoded(type, from: bytes)
    }

    private func collect(_ maxBytes: Int) async throws -> ByteBuffer {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > maxBytes { throw Request.tooLarge(maxBytes) }
        do {
            return try await body.collect(upTo: maxBytes)
        } catch is NIOTooManyBytesError {
            throw Request.tooLarge(maxBytes)
        } catch let error as HTTPParserError {
            // Hummingbird answers what is not HTTP itself.
            throw error
        } catch {
            // A phone that lost its network, which is no fault of the relay's: nobody is there to read this.
            throw WireFailure.malformed("the connection ended in the middle of the request")
        }
    }

    private static func tooLarge(_ maxBytes: Int) -> WireFailure { WireFailure(.tooLarge, "the request's body may have \(maxBytes) bytes") }

    var query: QueryParameters { QueryParameters(uri.string) }

    func reply(_ message: some Message, status: HTTPResponse.Status = .ok) throws -> Response {
        let encoding = replyEncoding
        return Response(status: status, headers: replyHeaders(encoding), body: .init(byteBuffer: try encoding.encode(message)))
    }

    /// Replies have tokens and keys in them: nobody on the way keeps one, and no browser takes one for something else.
    private func replyHeaders(_ encoding: WireEncoding) -> HTTPFields {
        var headers: HTTPFields = [.contentType: encoding.mediaType, .cacheControl: "no-store", .xContentTypeOptions: "nosniff"]
        if self.headers[.connection]?.lowercased() == "close" { headers[.connection] = "close" }
        return headers
    }

    func reply(_ failure: WireFailure, _ token: CorrelationToken) -> Response {
        let encoding = replyEncoding
        var headers = replyHeaders(encoding)
        if let name = HTTPField.Name(CorrelationToken.header) { headers[name] = token.description }
        if let seconds = failure.retryAfterSeconds { headers[.retryAfter] = String(seconds) }
        if let allow = failure.allow { headers[.allow] = allow }
        if failure.code == .upgradeRequired { headers[.upgrade] = "websocket" }
        if failure.code.httpStatus == 401 { headers[.wwwAuthenticate] = "Bearer" }
        // The reply to HEAD has no body, or the client would take it for the next reply.
        let body = method == .head ? ByteBuffer() : (try? encoding.encode(failure.wire)) ?? ByteBuffer()
        return Response(status: .init(code: failure.code.httpStatus), headers: headers, body: .init(byteBuffer: body))
    }
}

/// Refuses what an address asks too often, before any of it is looked at.
struct RequestLimit: RouterMiddleware {
    typealias Context = GatewayContext
    let limits: GatewayLimits

    func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
        try limits.checkRequest(from: context.address)
        return try await next(request, context)
    }
}

/// Turns everything that is thrown into a `relay.v1.Error`, and counts the answers.
struct FailureReplies: RouterMiddleware {
    typealias Context = GatewayContext
    let metrics: Metrics

    func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
        let route = RequestRoute(template: context.endpointPath)
        let failure: WireFailure
        var unexpected: (any Error)?
        do {
            let response = try await next(request, context)
            metrics.requests.add(route, StatusClass(status: response.status.code))
            // The path is the template with names for identifiers.
            context.logger.debug("request", metadata: ["path": "\(context.endpointPath ?? "-")", "status": "\(response.status.code)"])
            return response
        } catch let error as WireFailure {
            failure = error
        } catch let error as HTTPParserError {
            // Hummingbird answers what is not HTTP itself.
            throw error
        } catch let error as any HTTPResponseError where error.status == .notFound {
            failure = WireFailure(.notFound, "no such path")
        } catch {
            unexpected = error
            failure = WireFailure(.internal, "the relay failed")
        }
        metrics.requests.add(route, StatusClass(status: failure.code.httpStatus))
        let token = CorrelationToken()
        var metadata: Logger.Metadata = [
            "path": "\(context.endpointPath ?? "-")", "code": "\(failure.code.rawValue)", "request": "\(token)",
        ]
        if let unexpected {
            // Only the type: an error's text may hold what must not be logged.
            metadata["error"] = "\(type(of: unexpected))"
            context.logger.error("a request failed", metadata: metadata)
        } else {
            context.logger.debug("request refused", metadata: metadata)
        }
        return request.reply(failure, token)
    }
}
