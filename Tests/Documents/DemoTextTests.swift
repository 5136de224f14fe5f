import Foundation
import Testing

/// The demo's text is what Tests/Demo/text/SOURCES.md says: counts, encoding, scripts, a source for each line.
@Suite struct DemoTextTests {
    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Demo/text/check.sh")

    @Test func text() throws {
        #expect(try check([]) == 0)
    }

    @Test func aBrokenTextIsFound() throws {
        let broken = FileManager.default.temporaryDirectory.appendingPathComponent("messages-\(getpid()).txt")
        try Data([0x78, 0x0a, 0xff, 0x0a]).write(to: broken)
        defer { try? FileManager.default.removeItem(at: broken) }
        #expect(try check([broken.path]) == 1)
    }

    private func check(_ arguments: [String]) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [Self.script.path] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}
