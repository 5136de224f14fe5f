import Glibc
import RelayControl
import RelayModel

/// Does the disk keep what it says it has kept? Measured: writes of a page, each flushed, as relayd's commits are.
struct FlushCheck: HostCheck {
    let group = CheckGroup.disk
    let name = "flush"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard situation.isThorough else { return found.skip("left out (--quick)") }
        guard let path = situation.storePath else { return found.skip("the configuration is not known") }
        guard situation.isTrusted else { return found.skip("measuring the disk needs root or relayd's user") }
        if let status = situation.status, FileFacts.text("/proc/\(status.processID)/maps")?.contains("libeatmydata") == true {
            found.fail("relayd runs with libeatmydata, which leaves out every flush", "take it out of LD_PRELOAD, then: systemctl restart relayd")
        }
        let directory = FileChecks.directory(of: path)
        do throws(FlushProbeError) {
            let verdict = FlushVerdict(try FlushProbe.measure(in: directory), DataDisk(of: directory, root: situation.root))
            switch verdict.result {
            case .good, .skipped: found.good(verdict.text)
            case .warning: found.warn(verdict.text, verdict.advice)
            case .error: found.fail(verdict.text, verdict.advice)
            }
        } catch {
            found.fail("\(directory): \(error.doing): \(error.why)", "relayd cannot write there either: make room, or mend the disk")
        }
    }
}

struct FlushProbeError: Error {
    var doing: String
    var why: String

    init(_ doing: String) {
        self.doing = doing
        why = String(cString: strerror(errno))
    }
}

/// Measures how long it takes until a written page is said to be on the disk.
enum FlushProbe {
    private static let pageBytes = 4096

    /// Seconds of each write with its flush, in the order in which they were made. The file has no name any more while it is written.
    static func measure(in directory: String) throws(FlushProbeError) -> [Double] {
        let path = "\(directory)/.chatctl-check-\(getpid())"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw FlushProbeError("a file cannot be made") }
        unlink(path)
        defer { close(file) }
        var page = [UInt8](repeating: 0x5A, count: pageBytes)
        // Room first: what is measured are flushes of data, not of where the data lie.
        for index in 0..<Limits.flushProbes { try write(page, to: file, at: index) }
        guard fsync(file) == 0 else { throw FlushProbeError("a file cannot be flushed") }
        var seconds: [Double] = []
        let began = now()
        for index in 0..<Limits.flushProbes {
            // A disk may leave out what it has already.
            page[0] = UInt8(truncatingIfNeeded: index)
            let start = now()
            try write(page, to: file, at: index)
            guard fdatasync(file) == 0 else { throw FlushProbeError("a page cannot be flushed") }
            let end = now()
            seconds.append(Double(end - start) / 1e9)
            if end - began > Limits.flushProbeTime.nanoseconds { break }
        }
        return seconds
    }

    private static func write(_ page: [UInt8], to file: Int32, at index: Int) throws(FlushProbeError) {
        guard pwrite(file, page, page.count, index * pageBytes) == page.count else { throw FlushProbeError("a page cannot be written") }
    }

    private static func now() -> Int64 { SystemMonotonicClock().nanoseconds() }
}
