import ArgumentParser
import Foundation
import RelayModel
import RelayTestSupport

/// `relay-fuzz`: gives everything of the product that reads strangers' bytes a large number of wrong ones.
@main struct RelayFuzz: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay-fuzz", abstract: "Looks for inputs that break the parsers, the decoders, or a running relayd.",
        discussion: """
            Every target runs in a process of its own, so that a crash is found, too. An input that broke something is stored in the folder of \
            --failures, with the command that repeats it. Exit status: 0 nothing found, 1 something found.
            """,
        subcommands: [Run.self, Replay.self, Corpus.self, Worker.self], defaultSubcommand: Run.self)

    /// The corpus as the repository has it.
    static let corpusFolder = "\(Programs.repository)/Tests/Fuzz/corpus"

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Fuzz all targets, then a running relayd.")
        @Option(help: "How long all of it takes.") var seconds = 600
        @Option(help: "Repeats a run; without it, one is drawn.") var seed: UInt64?
        @Option(help: "Cases for each target, instead of the time.") var cases: Int?
        @Option(help: "Byte streams to the running relayd, instead of the time.") var streams: Int?
        @Option(name: .customLong("target"), help: "Only these targets; “relayd” is the running one.") var targets: [String] = []
        @Option(help: "Where failing inputs are stored.") var failures = ".build/fuzz"
        @Option(help: "Seconds that one case may take.") var patience = 20

        func run() async throws {
            let seed = seed ?? UInt64.random(in: 0..<1 << 32)
            print("seed \(seed) (FUZZ_SEED=\(seed) repeats it)")
            let names = targets.isEmpty ? FuzzTargets.all.map { $0.name } + [HostileStreams.name] : targets
            // A running relayd has more to do than one parser.
            let shares = names.map { $0 == HostileStreams.name ? 3 : 1 }
            var failed = 0
            for (name, share) in zip(names, shares) {
                // Also into a file or a pipe: what was found so far is known before the end.
                fflush(nil)
                let time = Double(seconds) * Double(share) / Double(shares.reduce(0, +))
                if name == HostileStreams.name {
                    let bound = streams.map { Bound.cases($0) } ?? .seconds(time)
                    failed += try await HostileStreams(seed: seed, bound: bound, failures: failures).run() ? 0 : 1
                } else {
                    guard FuzzTargets.named(name) != nil else { throw ValidationError("there is no target “\(name)”") }
                    let bound = cases.map { Bound.cases($0) } ?? .seconds(time)
                    failed += try await Supervisor(target: name, seed: seed, bound: bound, failures: failures, patience: patience).run() ? 0 : 1
                }
            }
            guard failed == 0 else {
                print("\(failed) of \(names.count) targets failed")
                throw ExitCode(1)
            }
            print("nothing found")
        }
    }

    struct Replay: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give a target one stored input.")
        @Argument var target: String
        @Argument var file: String

        func run() throws {
            guard let type = FuzzTargets.named(target) else { throw ValidationError("there is no target “\(target)”") }
            try type.init().run(Array(try Data(contentsOf: URL(filePath: file))))
            print("no promise was broken")
        }
    }

    struct Corpus: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write the valid inputs of every target, or compare them with the stored ones.")
        @Flag(help: "Compare only.") var check = false

        func run() throws {
            var differing: [String] = []
            for type in FuzzTargets.all {
                let folder = "\(corpusFolder)/\(type.name)"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                for (name, bytes) in try type.init().corpus() {
                    let url = URL(filePath: "\(folder)/\(name)")
                    if check {
                        if (try? Data(contentsOf: url)) != Data(bytes) { differing.append("\(type.name)/\(name)") }
                    } else {
                        try Data(bytes).write(to: url)
                    }
                }
            }
            guard differing.isEmpty else {
                print("not as generated: \(differing.joined(separator: ", ")); `relay-fuzz corpus` writes them anew")
                throw ExitCode(1)
            }
        }
    }
}

/// How long a target is fuzzed.
enum Bound: Sendable {
    case cases(Int)
    case seconds(Double)
}
