import Hummingbird
import HTTPTypes
import RelayDirectory
import RelayHostAssigner
import RelayMetrics
import RelayModel
import RelayWire

/// The table of REST paths. The handlers are in Accounts.swift, Links.swift, Contacts.swift, Keys.swift, Chats.swift, Groups.swift and
/// Presence.swift.
struct Routes: Sendable {
    typealias Handler = @Sendable (Request, GatewayContext) async throws -> Response

    let environment: GatewayEnvironment
    let assigner: HostAssigner

    func router() -> Router<GatewayContext> {
        let router = Router(context: GatewayContext.self)
        router.add(middleware: FailureReplies(metrics: environment.settings.metrics))
        router.add(middleware: RequestLimit(limits: environment.limits))
        add("/v1/connect", [.get: connect], to: router)
        add("/v1/info", [.get: info], to: router)
        add("/v1/assignment", [.get: assignment], to: router)
        add("/enrol", [.get: enrolPage], to: router)
        add("/v1/enrol", [.post: enrol], to: router)
        addLinks(to: router)
        add("/v1/auth/challenge", [.post: challenge], to: router)
        add("/v1/auth/token", [.post: token], to: router)
        add("/v1/users", [.get: userByName], to: router)
        add("/v1/users/{userId}", [.get: userByID], to: router)
        add("/v1/users/{userId}/prekeys", [.post: takePrekeys], to: router)
        add("/v1/devices/{deviceId}", [.get: device], to: router)
        add("/v1/devices/{deviceId}/keys", [.put: setKeys], to: router)
        add("/v1/devices/{deviceId}/keys/count", [.get: keysState], to: router)
        add("/v1/connection/user/{userId}", [.get: contacts], to: router)
        add(
            "/v1/connection/user/{userId}/recipient/{recipientId}",
            [.get: contact, .post: requestContact, .put: labelContact, .delete: deleteContact], to: router)
        add("/v1/connection/user/{userId}/recipient/{recipientId}/request/{accept}", [.put: answerRequest], to: router)
        add("/v1/connection/user/{userId}/recipient/{recipientId}/block/{block}", [.put: blockContact], to: router)
        add("/v1/chats", [.get: conversations, .post: openChat], to: router)
        add("/v1/chats/{chatId}", [.get: chat], to: router)
        add("/v1/chats/{chatId}/messages", [.get: messages, .post: send], to: router)
        add("/v1/chats/{chatId}/messages/{clientMessageId}/status", [.get: messageStatus], to: router)
        add("/v1/chats/{chatId}/receipts", [.get: receipts], to: router)
        add("/v1/chats/{chatId}/delete", [.post: delete], to: router)
        add("/v1/groups", [.post: createGroup], to: router)
        add("/v1/groups/{chatId}", [.post: changeGroup], to: router)
        addPresence(to: router)
        return router
    }

    /// The other methods of a path get `method_not_allowed` with the list of those that it has.
    func add(_ path: RouterPath, _ handlers: [HTTPRequest.Method: Handler], to router: Router<GatewayContext>) {
        let allow = handlers.keys.map(\.rawValue).sorted().joined(separator: ", ")
        for method: HTTPRequest.Method in [.get, .head, .post, .put, .patch, .delete, .options, .trace, .connect] {
            if let handler = handlers[method] {
                router.on(path, method: method, use: handler)
            } else {
                router.on(path, method: method) { _, _ -> Response in
                    var failure = WireFailure(.methodNotAllowed, "this path has \(allow) only")
                    failure.allow = allow
                    throw failure
                }
            }
        }
    }

    // MARK: What handlers share

    func principal(_ request: Request) throws(WireFailure) -> Principal {
        try Authorization.principal(request.headers[values: .authorization], environment.directory)
    }

    func id<ID: RelayIdentifier>(_ name: String, _ context: GatewayContext) throws(WireFailure) -> ID {
        guard let text = context.parameters.get(name), let id = ID(text) else { throw .malformed("\(name) must be a positive decimal number") }
        return id
    }

    func pageSize(_ query: QueryParameters) throws(WireFailure) -> Int {
        guard let size = try query.number("pageSize") else { return Limits.pageSize }
        guard size > 0, size <= UInt64(Limits.pageSizeCeiling) else { throw .malformed("pageSize must be 1 to \(Limits.pageSizeCeiling)") }
        return Int(size)
    }

    /// Runs a directory call and maps what it throws.
    func directory<Result: Sendable>(_ call: (Directory) async throws(DirectoryError) -> Result) async throws(WireFailure) -> Result {
        do throws(DirectoryError) { return try await call(environment.directory) } catch { throw WireFailure(error) }
    }
}
