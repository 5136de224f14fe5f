import Foundation
import RelayControl
import Testing

/// What the files of packaging/ repeat of the code.
@Suite struct PackageTests {
    private func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    @Test func theirVersionIsThatOfThePrograms() throws {
        let line = try text("packaging/debian/changelog").split(separator: "\n").first ?? ""
        #expect(line.hasPrefix("relayd (\(relayVersion)) "), "packaging/debian/changelog begins with \(line), Version.swift says \(relayVersion)")
    }

    @Test func systemdListensWhereRelaydWould() throws {
        #expect(try text("packaging/relayd-control.socket").contains("\nListenStream=\(defaultControlSocket)\n"))
        let sample = try text("packaging/relayd.toml")
        let address = try #require(sample.firstMatch(of: /#address = "([^"]*)"/)?.output.1)
        #expect(try text("packaging/relayd.socket").contains("\nListenStream=\(address)\n"))
    }
}
