/// What can go wrong with an operation. Each code has one HTTP status and one exit status; both are stable once shipped.
package enum ControlErrorCode: String, Codable, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case notFound = "not_found"
    case alreadyExists = "already_exists"
    case notPermitted = "not_permitted"
    case limitReached = "limit_reached"
    case tryAgain = "try_again"
    case versionMismatch = "version_mismatch"
    case daemonUnreachable = "daemon_unreachable"
    case configuration
    case failed

    package var httpStatus: Int {
        switch self {
        case .badRequest: 400
        case .notPermitted: 403
        case .notFound: 404
        case .alreadyExists: 409
        case .limitReached: 422
        case .tryAgain, .daemonUnreachable: 503
        case .versionMismatch: 426
        case .configuration, .failed: 500
        }
    }

    /// sysexits(3) where it has a fitting one.
    package var exitStatus: Int32 {
        switch self {
        case .badRequest: 64
        case .daemonUnreachable, .versionMismatch: 69
        case .tryAgain: 75
        case .notPermitted: 77
        case .configuration: 78
        case .notFound, .alreadyExists, .limitReached, .failed: 1
        }
    }
}

/// An operation's failure, as it travels and as it is shown: what happened, and what to do next.
package struct ControlError: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    package var code: ControlErrorCode
    package var message: String
    package var hint: String?
    /// When relayd failed: stands in its log beside the reason.
    package var request: String?

    package init(_ code: ControlErrorCode, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    package var description: String { message }
}
