import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayModel
import RelayStorage
import RelayWire

// Contacts and blocks. The paths call them connections, as the published design does.
extension Routes {
    @Sendable func contacts(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try contactsOwner(request, context)
        let query = request.query
        let since = try query.number("since") ?? 0
        let after = try query.number("after") ?? 0
        let size = try pageSize(query)
        var state: ContactState?
        if let name = query.text("state") {
            state = Self.states[name.lowercased()]
            guard state != nil else { throw WireFailure.malformed("state must be one of \(Self.states.keys.sorted().joined(separator: ", "))") }
        }
        let category = query.text("category")
        let (page, users) = try await directory { [state] directory throws(DirectoryError) in
            try await directory.contacts(of: principal.user, since: since, after: after, state: state, category: category, limit: size)
        }
        var wire = Relay_V1_ContactsPage()
        wire.isDeltaUpdate = page.isDelta
        wire.next = page.next
        wire.version = page.version
        wire.contacts = page.rows.map { row in
            var contact = ServerFrames.contact(row)
            if let user = users[row.peer] { contact.user = Routes.user(user) }
            return contact
        }
        return try request.reply(wire)
    }

    @Sendable func contact(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try contactsOwner(request, context)
        let peer: UserID = try id("recipientId", context)
        return try reply(
            try await directory { directory throws(DirectoryError) in try await directory.contact(of: principal.user, with: peer) }, to: request)
    }

    @Sendable func requestContact(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await decide(.request, request, context)
    }

    @Sendable func answerRequest(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await decide(try flag("accept", context) ? .accept : .ignore, request, context)
    }

    @Sendable func blockContact(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await decide(try flag("block", context) ? .block : .unblock, request, context)
    }

    @Sendable func deleteContact(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await decide(.delete, request, context)
    }

    /// The label alone.
    @Sendable func labelContact(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await decide(nil, request, context)
    }

    private static let states: [String: ContactState] = [
        "requested": .requested, "incoming": .incoming, "accepted": .accepted, "ignored": .ignored, "blocked_by_me": .blockedByMe,
        "blocked_by_them": .blockedByThem, "blocked_by_both": .blockedByBoth,
    ]

    private func decide(_ action: ContactAction?, _ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try contactsOwner(request, context)
        let peer: UserID = try id("recipientId", context)
        let basedOn = try Routes.basedOn(request.headers[.ifMatch])
        let body = try await request.decodeIfAny(Relay_V1_ContactRequest.self, maxBytes: Limits.restBodyBytes)
        let command = ContactCommand(
            user: principal.user, peer: peer, action: action, category: body?.hasCategory == true ? body?.category : nil, basedOn: basedOn,
            device: principal.device)
        return try reply(try await directory { directory throws(DirectoryError) in try await directory.decide(command) }, to: request)
    }

    private func reply(_ row: ContactRow, to request: Request) throws -> Response {
        var response = try request.reply(ServerFrames.contact(row))
        response.headers[.eTag] = "\"\(row.version)\""
        return response
    }

    /// One's own contacts only.
    private func contactsOwner(_ request: Request, _ context: GatewayContext) throws -> Principal {
        let principal = try principal(request)
        let user: UserID = try id("userId", context)
        guard user == principal.user else { throw WireFailure(.notFound, "a user's contacts are shown to that user only") }
        return principal
    }

    private func flag(_ name: String, _ context: GatewayContext) throws(WireFailure) -> Bool {
        switch context.parameters.get(name) {
        case "true": return true
        case "false": return false
        default: throw .malformed("\(name) must be true or false")
        }
    }

    /// The version in `If-Match: "VERSION"` (RFC 9110, 13.1.1); nil for `*` and when there is none.
    private static func basedOn(_ field: String?) throws(WireFailure) -> UInt64? {
        guard let field, field != "*" else { return nil }
        guard field.count > 2, field.hasPrefix("\""), field.hasSuffix("\""), let version = UInt64(field.dropFirst().dropLast()),
            version <= UInt64(Int64.max)
        else { throw .malformed("If-Match must be the version of a contact in quotation marks, or *") }
        return version
    }
}
