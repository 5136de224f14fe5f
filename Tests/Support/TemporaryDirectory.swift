import Foundation

/// A fresh directory below the system's temporary one, removed with its last owner.
package final class TemporaryDirectory: Sendable {
    package let path: String

    /// The name stays short: paths of Unix sockets have 107 bytes.
    package init() throws {
        var template = Array("\(NSTemporaryDirectory())relayd-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw SupportFailure.system("making a temporary directory") }
        path = String(cString: made)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { "\(path)/\(name)" }
}
