/// The house of ARCHITECTURE.md as a table: a target may depend on lower floors only.
struct Floors {
    var floorOf: [String: Int]
    /// Package products that only these targets may use.
    var reserved: [String: Set<String>]

    static let relayd = Floors(
        floorOf: [
            "CSQLite": 0, "CSodium": 0, "CZlib": 0, "COpenSSL": 0, "CSystemd": 0, "CQREncode": 0, "CTimex": 0,
            "RelayModel": 1,
            "RelayWire": 2, "RelayControl": 2, "RelayCrypto": 2, "RelayTLS": 2, "RelaySQLite": 2, "RelayMetrics": 2,
            "RelayHTTP": 3, "RelayListening": 3, "RelayStorage": 3, "RelayBackup": 3,
            "RelayClient": 4, "RelayDirectory": 4, "RelayHostAssigner": 4, "RelayPresence": 4, "RelayRetention": 4, "RelayTelemetry": 4,
            "RelayMessageSending": 5,
            "RelayGateway": 6, "RelayControlServer": 6, "ChatctlCommands": 6,
            "relayd": 7, "chatctl": 7,
            "RelayTestSupport": 8, "websocket-echo": 8,
            "relay-fuzz": 9,
            // Below everything, and of the tests: nothing of the product can use them.
            "CMalloc": 0, "AllocationCounter": 0, "FaultInjection": 0,
        ],
        reserved: [
            "ArgumentParser": ["relayd", "ChatctlCommands"],
            "TOMLKit": ["relayd"],
            "Hummingbird": ["RelayListening", "RelayGateway", "RelayControlServer"],
            "HummingbirdCore": ["RelayListening", "RelayGateway", "RelayControlServer"],
        ])

    /// The folder below `Sources` that a target lives in, which says whose it is.
    enum Side: String {
        case common = "Common"
        case relayd
        case chatctl
        case tests = "Tests"

        init?(path: String) {
            let parts = path.split(separator: "/")
            if parts.first == "Tests" {
                self = .tests
            } else if parts.first == "Sources", parts.count > 1, let side = Side(rawValue: String(parts[1])) {
                self = side
            } else {
                return nil
            }
        }

        func mayUse(_ other: Side) -> Bool {
            switch self {
            case .common: other == .common
            case .relayd: other == .common || other == .relayd
            case .chatctl: other == .common || other == .chatctl
            case .tests: true
            }
        }
    }

    /// Every rule that the manifest breaks, as a sentence that says what to do.
    func violations(in manifest: Manifest) -> [String] {
        var found: [String] = []
        let targets = Dictionary(manifest.targets.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for target in manifest.targets where target.type != "test" {
            guard let floor = floorOf[target.name] else {
                found.append("\(target.name) has no floor: give it one in Tests/Layering/Floors.swift and in ARCHITECTURE.md")
                continue
            }
            guard let side = target.path.flatMap(Side.init(path:)) else {
                found.append("\(target.name) lies in \(target.path ?? "no folder"): put it below Sources/Common, Sources/relayd or Sources/chatctl")
                continue
            }
            for dependency in target.dependencies {
                if dependency.isProduct {
                    if let users = reserved[dependency.name], !users.contains(target.name), side != .tests {
                        found.append("\(target.name) uses \(dependency.name), which is for \(users.sorted().joined(separator: " and ")) only")
                    }
                    continue
                }
                guard let other = targets[dependency.name], let otherFloor = floorOf[dependency.name] else { continue }
                if otherFloor >= floor {
                    found.append(
                        "\(target.name) (floor \(floor)) depends on \(dependency.name) (floor \(otherFloor)): "
                            + "arrows go down only; declare a protocol below and inject it from Main")
                }
                if let otherSide = other.path.flatMap(Side.init(path:)), !side.mayUse(otherSide) {
                    found.append(
                        "\(target.name) in \(side.rawValue) depends on \(dependency.name) in \(otherSide.rawValue): move what both need into Common")
                }
            }
        }
        return found
    }

    /// The modules of this package that a source text imports without its target declaring them.
    func undeclaredImports(in source: String, of target: Manifest.Target) -> [String] {
        let declared = Set(target.dependencies.map(\.name))
        return Floors.imports(in: source).filter { floorOf[$0] != nil && $0 != target.name && !declared.contains($0) }
    }

    /// The module names of `import X`, `@testable import X`, `package import X`, `import struct X.Y`.
    static func imports(in source: String) -> [String] {
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
        var inText = false  // inside a multi-line string literal
        return source.split(separator: "\n").compactMap { line in
            if !line.split(separator: "\"\"\"", omittingEmptySubsequences: false).count.isMultiple(of: 2) {
                if inText { return nil }
            } else {
                inText.toggle()
                return nil
            }
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                words[..<place].allSatisfy({ $0.hasPrefix("@") || ["public", "package", "internal", "private", "fileprivate"].contains($0) })
            else { return nil }
            let rest = words[(place + 1)...].drop { kinds.contains($0) }
            return rest.first?.split(separator: ".").first.map(String.init)
        }
    }
}
