// swift-tools-version:6.2
import PackageDescription

// The folder tree is the architecture: each module is a target, arrows go down only.
// `Tests/Layering` reads this manifest and fails when a dependency points upwards.

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A module of the product: `folder` is its place below `Sources`.
func module(_ name: String, _ folder: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(folder)", exclude: exclude, swiftSettings: strict)
}

/// The tests of one module, in the folder that mirrors its own.
func tests(_ name: String, _ folder: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(folder)", exclude: exclude, swiftSettings: strict)
}

func system(_ name: String, _ folder: String, _ pkgConfig: String, _ apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/\(folder)/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1 = Target.Dependency.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let swiftProtobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

let package = Package(
    name: "relayd",
    products: [
        .executable(name: "relayd", targets: ["relayd"]),
        .executable(name: "chatctl", targets: ["chatctl"]),
        .executable(name: "relay-fuzz", targets: ["relay-fuzz"]),
        .executable(name: "websocket-echo", targets: ["websocket-echo"]),
        // Preloaded into relayd by tests.
        .library(name: "AllocationCounter", type: .dynamic, targets: ["AllocationCounter"]),
        .library(name: "FaultInjection", type: .dynamic, targets: ["FaultInjection"]),
        .library(
            name: "Common",
            targets: ["RelayModel", "RelayWire", "RelayControl", "RelayCrypto", "RelayTLS", "RelayHTTP", "RelaySQLite", "RelayBackup", "RelayClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", exact: "1.8.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-protobuf.git", exact: "1.39.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log.git", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", exact: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess.git", exact: "1.0.2", traits: []),
        .package(url: "https://github.com/apple/swift-system.git", exact: "1.8.1"),
        .package(url: "https://github.com/LebJe/TOMLKit.git", exact: "0.6.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", exact: "0.2.0"),
    ],
    targets: [
        // Floor 0: the system's C libraries.
        system("CSQLite", "Common/SQLite", "sqlite3", "libsqlite3-dev"),
        system("CSodium", "Common/Crypto", "libsodium", "libsodium-dev"),
        system("CZlib", "Common/Crypto", "zlib", "zlib1g-dev"),
        system("COpenSSL", "Common/TLS", "openssl", "libssl-dev"),
        system("CSystemd", "relayd/Main", "libsystemd", "libsystemd-dev"),
        .systemLibrary(name: "CTimex", path: "Sources/chatctl/Commands/CTimex"),
        system("CQREncode", "chatctl/Commands", "libqrencode", "libqrencode-dev"),

        // Floor 1
        module("RelayModel", "Common/Model", []),

        // Floor 2
        module("RelayWire", "Common/Wire", ["RelayModel", swiftProtobuf, nioCore], exclude: ["relay.proto", "client.proto"]),
        module("RelayControl", "Common/Control", ["RelayModel"]),
        module("RelayCrypto", "Common/Crypto", ["RelayModel", "CSodium", "CZlib"], exclude: ["CSodium", "CZlib"]),
        module("RelayTLS", "Common/TLS", ["RelayModel", "COpenSSL", nioCore], exclude: ["COpenSSL"]),
        module("RelaySQLite", "Common/SQLite", ["CSQLite"], exclude: ["CSQLite"]),
        module("RelayMetrics", "relayd/Metrics", ["RelayModel"]),

        // Floor 3
        module("RelayHTTP", "Common/HTTP", ["RelayModel", "RelayTLS", nioCore, nioPosix, nioHTTP1]),
        module("RelayStorage", "relayd/Storage", ["RelayModel", "RelayMetrics", "RelayCrypto", "RelaySQLite", nioCore, nioPosix]),

        module("RelayBackup", "Common/Backup", ["RelayModel", "RelayControl", "RelayCrypto", "RelaySQLite"]),

        module(
            "RelayListening", "relayd/Listening",
            ["RelayModel", nioCore, nioPosix, nioHTTP1, hummingbird, hummingbirdCore, logging, serviceLifecycle]),

        // Floor 4
        module(
            "RelayClient", "Common/Client",
            ["RelayModel", "RelayWire", "RelayCrypto", "RelayTLS", "RelayHTTP", "RelaySQLite", nioCore, nioPosix, swiftProtobuf]),
        module("RelayDirectory", "relayd/Directory", ["RelayModel", "RelayCrypto", "RelayStorage"]),
        module("RelayHostAssigner", "relayd/HostAssigner", ["RelayModel"]),
        module("RelayRetention", "relayd/Retention", ["RelayModel", "RelayCrypto", "RelayStorage"]),
        module("RelayPresence", "relayd/Presence", ["RelayModel", "RelayStorage", nioCore]),

        module(
            "RelayTelemetry", "relayd/Telemetry",
            ["RelayModel", "RelayMetrics", "RelayCrypto", "RelayHTTP", "RelayStorage", nioCore, nioHTTP1, logging, subprocess, systemPackage]),

        // Floor 5
        module(
            "RelayMessageSending", "relayd/MessageSending",
            ["RelayModel", "RelayMetrics", "RelayWire", "RelayStorage", "RelayDirectory", nioCore]),

        // Floor 6
        module(
            "RelayGateway", "relayd/Gateway",
            [
                "RelayModel", "RelayMetrics", "RelayWire", "RelayHTTP", "RelayListening", "RelayTLS", "RelayStorage", "RelayDirectory",
                "RelayHostAssigner", "RelayPresence", "RelayMessageSending", nioCore, nioPosix, nioHTTP1, httpTypes, nioHTTPTypes, nioHTTPTypesHTTP1,
                hummingbird,
                hummingbirdCore, swiftProtobuf, logging,
                serviceLifecycle,
            ]),
        module(
            "RelayControlServer", "relayd/ControlServer",
            [
                "RelayModel", "RelayMetrics", "RelayControl", "RelayCrypto", "RelayHTTP", "RelayListening", "RelayBackup", "RelayStorage",
                "RelayDirectory", "RelayPresence", "RelayRetention", "RelayTelemetry", "RelayMessageSending",
                nioCore, nioPosix, nioHTTP1, httpTypes, nioHTTPTypes, nioHTTPTypesHTTP1, hummingbird, hummingbirdCore, logging,
            ]),
        module(
            "ChatctlCommands", "chatctl/Commands",
            [
                "RelayModel", "RelayWire", "RelayControl", "RelayCrypto", "RelayTLS", "RelayHTTP", "RelaySQLite", "RelayBackup", "RelayClient",
                "CQREncode", "CTimex", nioCore,
                nioPosix,
                swiftProtobuf, argumentParser, histogram,
            ], exclude: ["CQREncode", "CTimex"]),

        // Floor 7: the two programs.
        .executableTarget(
            name: "relayd",
            dependencies: [
                "RelayModel", "RelayMetrics", "RelayCrypto", "RelayTLS", "RelayHTTP", "RelaySQLite", "RelayBackup", "RelayStorage", "RelayDirectory",
                "RelayHostAssigner",
                "RelayPresence", "RelayRetention", "RelayTelemetry", "RelayMessageSending", "RelayGateway", "RelayControl", "RelayControlServer",
                "CSystemd",
                nioCore, nioPosix, argumentParser, logging, serviceLifecycle,
                unixSignals, toml,
            ], path: "Sources/relayd/Main", exclude: ["CSystemd"], swiftSettings: strict),
        .executableTarget(
            name: "chatctl", dependencies: ["ChatctlCommands"], path: "Sources/chatctl/Main", swiftSettings: strict),

        // Tests mirror the folders.
        tests("RelayModelTests", "Common/Model", ["RelayModel"]),
        tests("RelayMetricsTests", "relayd/Metrics", ["RelayMetrics", "RelayModel", "RelayTestSupport"]),
        tests("RelayControlTests", "Common/Control", ["RelayControl", "RelayModel"]),
        tests("RelayCryptoTests", "Common/Crypto", ["RelayCrypto", "RelayModel", "CSodium", "CZlib"], exclude: ["vectors.txt"]),
        tests("RelayTLSTests", "Common/TLS", ["RelayTLS", "RelayModel", "RelayTestSupport", "COpenSSL", nioCore, nioEmbedded]),
        tests(
            "RelayHTTPTests", "Common/HTTP", ["RelayHTTP", "RelayModel", "RelayTLS", "RelayTestSupport", nioCore, nioPosix, nioHTTP1, nioWebSocket]),
        tests("RelayListeningTests", "relayd/Listening", ["RelayListening", "RelayModel", nioCore, nioEmbedded]),
        tests("RelayBackupTests", "Common/Backup", ["RelayBackup", "RelayCrypto", "RelayModel", "RelaySQLite", "RelayTestSupport"]),
        tests(
            "RelayClientTests", "Common/Client",
            ["RelayClient", "RelayCrypto", "RelayHTTP", "RelayModel", "RelaySQLite", "RelayTestSupport", "RelayWire", swiftProtobuf]),
        tests(
            "RelayRetentionTests", "relayd/Retention",
            ["RelayModel", "RelaySQLite", "RelayStorage", "RelayRetention", "RelayTestSupport", nioCore]),
        tests(
            "RelayTelemetryTests", "relayd/Telemetry",
            [
                "RelayCrypto", "RelayModel", "RelayMetrics", "RelayTLS", "RelayHTTP", "RelaySQLite", "RelayStorage", "RelayTelemetry",
                "RelayTestSupport",
                nioCore, nioPosix, nioHTTP1, logging,
            ]),
        tests(
            "RelayPresenceTests", "relayd/Presence",
            ["RelayModel", "RelaySQLite", "RelayStorage", "RelayPresence", "RelayTestSupport"]),
        tests(
            "RelayStorageTests", "relayd/Storage",
            ["RelayCrypto", "RelayMetrics", "RelayModel", "RelaySQLite", "RelayStorage", "RelayTestSupport", nioCore]),
        tests("RelayDirectoryTests", "relayd/Directory", ["RelayCrypto", "RelayModel", "RelayStorage", "RelayDirectory", "RelayTestSupport"]),
        tests("RelayMessageSendingTests", "relayd/MessageSending", ["RelayMetrics", "RelayModel", "RelayStorage", "RelayMessageSending", nioCore]),
        tests(
            "RelayGatewayTests", "relayd/Gateway",
            [
                "RelayModel", "RelayMetrics", "RelayWire", "RelayCrypto", "RelayHTTP", "RelayStorage", "RelayDirectory", "RelayHostAssigner",
                "RelayPresence", "RelayMessageSending", "RelayGateway", "RelayClient", "RelayTestSupport", nioCore, nioPosix, nioHTTP1, nioEmbedded,
                hummingbird,
                swiftProtobuf,
                logging,
                serviceLifecycle,
            ]),
        tests(
            "RelayControlServerTests", "relayd/ControlServer",
            [
                "RelayModel", "RelayMetrics", "RelayControl", "RelayCrypto", "RelayStorage", "RelayDirectory", "RelayPresence", "RelayRetention",
                "RelayTelemetry", "RelayHTTP", "RelayMessageSending", "RelayControlServer",
                "RelayTestSupport", nioCore, nioPosix, logging,
            ]),
        tests(
            "RelaydTests", "relayd/Main",
            [
                "relayd", "RelayMetrics", "RelayBackup", "RelaySQLite", "RelayStorage", "RelayGateway", "RelayHTTP", "RelayModel", "RelayControl",
                "RelayTelemetry",
                "RelayTestSupport", logging,
            ]),
        tests(
            "ChatctlTests", "chatctl",
            [
                "ChatctlCommands", "RelayBackup", "RelayClient", "RelayModel", "RelayTLS", "RelaySQLite", "RelayWire", "RelayControl",
                "RelayTestSupport", nioCore, swiftProtobuf, argumentParser, histogram,
            ], exclude: ["golden"]),

        // Across the modules. Support starts the real programs for the others.
        .target(
            name: "RelayTestSupport",
            dependencies: [
                "RelayModel", "RelayWire", "RelayControl", "RelayCrypto", "RelayTLS", "RelayClient", "COpenSSL", swiftProtobuf, nioPosix,
            ],
            path: "Tests/Support",
            swiftSettings: strict),
        .target(name: "AllocationCounter", path: "Tests/Preload/AllocationCounter"),
        .target(name: "FaultInjection", path: "Tests/Preload/FaultInjection"),
        .systemLibrary(name: "CMalloc", path: "Tests/Fuzz/CMalloc"),
        .executableTarget(
            name: "relay-fuzz",
            dependencies: [
                "CMalloc", "RelayModel", "RelayWire", "RelayControl", "RelayCrypto", "RelayHTTP", "RelayStorage", "RelayGateway", "RelayTestSupport",
                nioCore,
                swiftProtobuf, argumentParser,
            ], path: "Tests/Fuzz", exclude: ["CMalloc", "corpus"], swiftSettings: strict),
        .executableTarget(
            name: "websocket-echo", dependencies: ["RelayModel", "RelayHTTP", "RelayTLS", nioCore, nioPosix], path: "Tests/Echo",
            swiftSettings: strict),
        tests("LayeringTests", "Layering", []),
        tests("DocumentTests", "Documents", ["RelayControl", "RelayMetrics", "RelayModel", "RelayWire"]),
        tests(
            "IntegrationTests", "Integration",
            [
                "RelayTestSupport", "RelayModel", "RelayWire", "RelayControl", "RelayCrypto", "RelayTLS", "RelayClient", "RelayBackup", "RelaySQLite",
                "RelayStorage", nioCore, nioPosix, nioHTTP1, swiftProtobuf,
            ]),
        tests("ScenarioTests", "Scenarios/Runner", ["RelayTestSupport", "RelayModel", "RelayControl", "RelayClient", "RelayStorage"]),
    ],
    swiftLanguageModes: [.v6]
)
