import Foundation

/// What the layering rules need from `swift package dump-package`.
struct Manifest: Decodable {
    var targets: [Target]

    struct Target: Decodable {
        var name: String
        var type: String
        var path: String?
        var dependencies: [Dependency]
    }

    /// One entry of a target's list: `{"byName": ["RelayModel", null]}` or `{"product": ["NIOCore", "swift-nio", null, null]}`.
    struct Dependency: Decodable {
        var name: String
        var isProduct: Bool

        init(name: String, isProduct: Bool) {
            self.name = name
            self.isProduct = isProduct
        }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.singleValueContainer().decode([String: [Element]].self)
            guard let (kind, elements) = fields.first, let name = elements.first?.text else {
                throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "a dependency without a name"))
            }
            self.init(name: name, isProduct: kind == "product")
        }

        /// A string, or something that the rules do not look at (null, a condition, module aliases).
        private struct Element: Decodable {
            var text: String?
            init(from decoder: any Decoder) throws {
                text = try? decoder.singleValueContainer().decode(String.self)
            }
        }
    }

    /// Asks SwiftPM for the manifest of the package at `root`. A scratch directory of its own keeps it clear of the build's lock.
    static func load(root: URL) throws -> Manifest {
        let scratch = FileManager.default.temporaryDirectory.appending(path: "relayd-layering-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["swift", "package", "--package-path", root.path, "--scratch-path", scratch.path, "dump-package"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let json = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(text: "swift package dump-package ended with \(process.terminationStatus)") }
        return try JSONDecoder().decode(Manifest.self, from: json)
    }

    struct Failure: Error, CustomStringConvertible {
        var text: String
        var description: String { text }
    }
}
