import RelayModel

/// A label with a closed set of values, none of which says who somebody is.
package protocol MetricLabel: CaseIterable, Hashable, Sendable, RawRepresentable where RawValue == String {
    /// The label's name.
    static var label: String { get }
}

/// What became of a message, a change of a group or a deletion that a device asked for. Coarse on purpose: a block, a contact that was not
/// accepted and a missing role are one class, so that nobody can count blocks.
package enum SendResult: String, MetricLabel {
    package static let label = "result"
    case accepted
    /// It had been accepted before.
    case repeated
    case malformed
    case notPermitted = "not_permitted"
    case notFound = "not_found"
    case deviceSet = "device_set"
    case conflict
    case limitReached = "limit_reached"
    case rateLimited = "rate_limited"
    case overloaded
    case failed

    /// What people do, unlike what goes wrong.
    var isUse: Bool { self == .accepted || self == .repeated }
}

/// What a connection speaks.
package enum ConnectionKind: String, MetricLabel {
    package static let label = "kind"
    case websocket
    /// REST, or nothing yet.
    case http
}

/// Paths of the client protocol. All that has to do with contacts is one, so that nobody can count blocks and requests.
package enum RequestRoute: String, MetricLabel {
    package static let label = "route"
    case connect = "/v1/connect"
    case info = "/v1/info"
    case assignment = "/v1/assignment"
    case enrolPage = "/enrol"
    case enrol = "/v1/enrol"
    case challenge = "/v1/auth/challenge"
    case token = "/v1/auth/token"
    case links = "/v1/links"
    case users = "/v1/users"
    case user = "/v1/users/{userId}"
    case prekeys = "/v1/users/{userId}/prekeys"
    case device = "/v1/devices/{deviceId}"
    case keys = "/v1/devices/{deviceId}/keys"
    case keysCount = "/v1/devices/{deviceId}/keys/count"
    case contacts = "/v1/connection"
    case chats = "/v1/chats"
    case chat = "/v1/chats/{chatId}"
    case messages = "/v1/chats/{chatId}/messages"
    case messageStatus = "/v1/chats/{chatId}/messages/{clientMessageId}/status"
    case receipts = "/v1/chats/{chatId}/receipts"
    case delete = "/v1/chats/{chatId}/delete"
    case groups = "/v1/groups"
    case group = "/v1/groups/{chatId}"
    case groupPresence = "/v1/groups/{chatId}/presence"
    case presence = "/v1/presence"
    /// Paths that do not exist, and those that have no line here yet.
    case other

    private static let exact = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue, $0) })

    /// - Parameter template: a route with names in the place of identifiers; nil when no route fits.
    package init(template: String?) {
        guard let template else {
            self = .other
            return
        }
        if let route = RequestRoute.exact[template] {
            self = route
        } else if template.hasPrefix("/v1/connection/") {
            self = .contacts
        } else if template.hasPrefix("/v1/links/") || template == "/link" {
            self = .links
        } else {
            self = .other
        }
    }
}

/// The class of an HTTP status.
package enum StatusClass: String, MetricLabel {
    package static let label = "status"
    case success = "2xx"
    case redirection = "3xx"
    case request = "4xx"
    case server = "5xx"

    package init(status: Int) {
        switch status {
        case ..<300: self = .success
        case ..<400: self = .redirection
        case ..<500: self = .request
        default: self = .server
        }
    }
}

/// How a device's request for a token ended.
package enum SignInResult: String, MetricLabel {
    package static let label = "result"
    case accepted
    /// The signature does not fit the challenge.
    case signature
    /// The challenge is unknown, used or too old.
    case challenge
    /// The device was revoked or never was.
    case revoked
    case suspended
    case failed
}

/// Which limit somebody met.
package enum RateLimitKind: String, MetricLabel {
    package static let label = "limit"
    case messages
    case reads
    case requests
    case signIns = "signins"
    /// Closed without an answer.
    case connections
    case handshakes
    case prekeys
}

extension AlertKind: MetricLabel {
    package static let label = "kind"
}
