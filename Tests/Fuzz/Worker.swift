import ArgumentParser
import CMalloc
import Foundation
import RelayModel
import RelayTestSupport

/// The process that a target runs in. It writes each input down before it tries it, so that the supervisor has it when the process is gone.
struct Worker: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "One target in this process.", shouldDisplay: false)
    @Argument var target: String
    @Option var seed: UInt64
    @Option var cases: Int?
    @Option var seconds: Double?
    @Option(help: "The file for the input at hand.") var current: String

    /// Cases between two looks at the heap.
    static let interval = 2000
    /// What the heap may grow by after its first use: caches of the libraries; a byte a case shows in a long run, some hundred bytes in a short one.
    static let heapGrowthBytes = 512 * 1024

    func run() throws {
        guard let type = FuzzTargets.named(target) else { throw ValidationError("there is no target “\(target)”") }
        let subject = try type.init()
        let corpus = try storedInputs(type) + subject.corpus().map(\.bytes)
        let note = try CurrentInput(writing: current)
        // Every valid and every once failing input as it is, first.
        for input in corpus {
            note.write(input)
            try attempt(subject, input)
        }
        var mutation = Mutation(seed: seed, corpus: corpus)
        let end = seconds.map { Date().addingTimeInterval($0) }
        var heap: Int?
        var done = 0
        while cases.map({ done < $0 }) ?? true {
            if let end, done % 64 == 0, Date() >= end { break }
            let input = mutation.next()
            note.write(input)
            try attempt(subject, input)
            done += 1
            if done % Worker.interval == 0 {
                let used = Int(mallinfo2().uordblks)
                // The first look comes after every path was taken a few times.
                if let heap, used > heap + Worker.heapGrowthBytes {
                    print("the heap grew from \(heap) to \(used) bytes in \(done) cases: something is not given back")
                    throw ExitCode(3)
                }
                heap = heap ?? used
            }
        }
        print("\(done) cases")
    }

    private func attempt(_ subject: any FuzzTarget, _ input: [UInt8]) throws {
        do {
            try subject.run(input)
        } catch {
            print("\(error)")
            throw ExitCode(3)
        }
    }

    /// The repository's folder for the target: its valid inputs, and those that broke something once.
    private func storedInputs(_ type: any FuzzTarget.Type) throws -> [[UInt8]] {
        let folder = "\(RelayFuzz.corpusFolder)/\(type.name)"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return [] }
        return try names.sorted().map { Array(try Data(contentsOf: URL(filePath: "\(folder)/\($0)"))) }
    }
}

/// The input that a worker is about to try, in a file.
struct CurrentInput {
    private let descriptor: Int32

    init(writing path: String) throws {
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SupportFailure.system("making \(path)") }
    }

    func write(_ input: [UInt8]) {
        // The length of the file is the input's: what was there before is cut away first.
        ftruncate(descriptor, 0)
        pwrite(descriptor, input, input.count, 0)
    }

    /// Nil when there is none yet.
    static func read(_ path: String) -> [UInt8]? { (try? Data(contentsOf: URL(filePath: path))).map { Array($0) } }
}
