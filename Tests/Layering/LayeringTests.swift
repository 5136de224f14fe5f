import Foundation
import Testing

@Suite("Floors of the house") struct LayeringTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test func manifestKeepsTheFloors() throws {
        let violations = Floors.relayd.violations(in: try Manifest.load(root: Self.root))
        #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
    }

    @Test func sourcesImportOnlyWhatTheirTargetDeclares() throws {
        let manifest = try Manifest.load(root: Self.root)
        var found: [String] = []
        var files = 0
        for target in manifest.targets {
            guard let path = target.path, let walk = FileManager.default.enumerator(atPath: Self.root.appending(path: path).path) else { continue }
            for case let file as String in walk where file.hasSuffix(".swift") {
                let text = try String(contentsOf: Self.root.appending(path: "\(path)/\(file)"), encoding: .utf8)
                found += Floors.relayd.undeclaredImports(in: text, of: target).map {
                    "\(path)/\(file) imports \($0), which \(target.name) does not declare"
                }
                files += 1
            }
        }
        #expect(files > 20, "the walk found only \(files) files")
        #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
    }

    // The rules themselves, on a made-up house.

    static func house(_ targets: [(name: String, path: String, dependencies: [Manifest.Dependency])]) -> Manifest {
        Manifest(targets: targets.map { Manifest.Target(name: $0.name, type: "regular", path: $0.path, dependencies: $0.dependencies) })
    }

    static func module(_ name: String) -> Manifest.Dependency { .init(name: name, isProduct: false) }

    @Test func downwardsIsAllowed() {
        let manifest = Self.house([
            ("RelayModel", "Sources/Common/Model", []),
            ("RelayStorage", "Sources/relayd/Storage", [Self.module("RelayModel")]),
            ("RelayTestSupport", "Tests/Support", [Self.module("RelayStorage")]),
        ])
        #expect(Floors.relayd.violations(in: manifest).isEmpty)
    }

    @Test func upwardsIsRefused() throws {
        let manifest = Self.house([
            ("RelayGateway", "Sources/relayd/Gateway", []),
            ("RelayStorage", "Sources/relayd/Storage", [Self.module("RelayGateway")]),
        ])
        let violations = Floors.relayd.violations(in: manifest)
        #expect(violations.count == 1)
        #expect(try #require(violations.first).hasPrefix("RelayStorage (floor 3) depends on RelayGateway (floor 6)"))
    }

    @Test func sidewaysOnOneFloorIsRefused() {
        let manifest = Self.house([
            ("RelayGateway", "Sources/relayd/Gateway", [Self.module("RelayControlServer")]),
            ("RelayControlServer", "Sources/relayd/ControlServer", []),
        ])
        #expect(Floors.relayd.violations(in: manifest).count == 1)
    }

    @Test(arguments: [("RelayClient", "Sources/Common/Client"), ("ChatctlCommands", "Sources/chatctl/Commands")])
    func theDaemonsModulesAreItsOwn(name: String, path: String) {
        let manifest = Self.house([
            ("RelayStorage", "Sources/relayd/Storage", []),
            (name, path, [Self.module("RelayStorage")]),
        ])
        let violations = Floors.relayd.violations(in: manifest)
        #expect(violations.count == 1 && violations.allSatisfy { $0.contains("in relayd") }, "\(violations)")
    }

    @Test func productionNeverUsesTestSupport() {
        let manifest = Self.house([
            ("RelayTestSupport", "Tests/Support", []),
            ("relayd", "Sources/relayd/Main", [Self.module("RelayTestSupport")]),
        ])
        #expect(Floors.relayd.violations(in: manifest).count == 2)
    }

    @Test func aTargetWithoutAFloorOrOutsideTheFoldersIsRefused() {
        let manifest = Self.house([("RelayHelpers", "Sources/Common/Helpers", []), ("RelayModel", "Sources/Model", [])])
        #expect(Floors.relayd.violations(in: manifest).count == 2)
    }

    @Test func theClientLibraryTakesNoArgumentParser() {
        let manifest = Self.house([("RelayClient", "Sources/Common/Client", [.init(name: "ArgumentParser", isProduct: true)])])
        #expect(Floors.relayd.violations(in: manifest).count == 1)
    }

    @Test func undeclaredImportsAreFound() {
        let target = Manifest.Target(name: "RelayStorage", type: "regular", path: nil, dependencies: [Self.module("RelayModel")])
        let source = """
            import NIOCore
            import RelayModel
            @testable import RelayWire
            package import RelayControl
            import struct RelayCrypto.SystemEntropy
            // import RelayGateway
            let text = "a word: import RelayHTTP"
            """
        #expect(Floors.relayd.undeclaredImports(in: source, of: target) == ["RelayWire", "RelayControl", "RelayCrypto"])
    }
}
