import Foundation

/// Where the programs under test and the repository's files are.
package enum Programs {
    /// The build directory: the test bundle lies in it, and so do the programs. `RELAYD_PROGRAMS` names another one.
    package static let directory: String = {
        if let named = ProcessInfo.processInfo.environment["RELAYD_PROGRAMS"] { return named }
        return URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path
    }()

    package static var relayd: String { "\(directory)/relayd" }
    package static var chatctl: String { "\(directory)/chatctl" }

    /// The folder that holds `Package.swift`.
    package static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
}

/// Something that a test needs and did not get; the text says what.
package struct SupportFailure: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }

    package static func system(_ doing: String) -> SupportFailure {
        SupportFailure("\(doing): \(String(cString: strerror(errno)))")
    }
}

/// Runs blocking work on a thread of its own, so that the few threads of Swift's pool stay free.
package func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}
