import Glibc
import RelayControl
import RelaySQLite

/// Is there room for messages?
struct DiskSpaceCheck: HostCheck {
    let group = CheckGroup.disk
    let name = "space"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let path = situation.storePath else { return found.skip("the configuration is not known") }
        let directory = FileChecks.directory(of: path)
        var figures = statvfs()
        guard statvfs(directory, &figures) == 0 else {
            return found.skip("\(directory) cannot be looked at: \(String(cString: strerror(errno)))")
        }
        judge(
            SpaceFigures(figures), storeBytes: Database.bytes(path), alarm: situation.number("alerts.disk_free_percent") ?? 10, directory, &found)
    }

    func judge(_ space: SpaceFigures, storeBytes: Int, alarm percent: Int, _ directory: String, _ found: inout CheckFindings) {
        let free = space.bytes > 0 ? Int(Double(space.freeBytes) / Double(space.bytes) * 100) : 0
        let text = "\(Figures.bytes(space.freeBytes)) of \(Figures.bytes(space.bytes)) are free (\(free) %)"
        // Less than one write-ahead log at its largest and a batch: commits may fail at any time.
        if space.freeBytes < 64 << 20 {
            found.fail("\(directory): \(text): relayd stops when the disk is full", "make room, or move the store (store.path) to a larger disk")
        } else if free < percent {
            found.warn(
                "\(directory): \(text), less than alerts.disk_free_percent = \(percent)",
                "make room; chatctl retention plan says what a purge would free")
        }
        // File systems that make inodes as they need them tell none.
        if space.files > 0, space.freeFiles < 64 {
            found.fail("\(directory): \(space.freeFiles) of \(Figures.count(space.files)) inodes are free", "remove small files: df -i shows where")
        } else if space.files > 0, space.freeFiles * 100 < space.files {
            found.warn("\(directory): less than 1 % of the inodes is free", "remove small files: df -i shows where")
        }
        if space.isReadOnly { found.fail("\(directory) is mounted read-only", "dmesg says why; then: mount -o remount,rw") }
        if found.isClean { found.good("\(text), the store has \(Figures.bytes(storeBytes))") }
    }
}

/// What a file system says of itself.
struct SpaceFigures {
    var bytes: Int
    /// What users other than root may still fill.
    var freeBytes: Int
    var files: Int
    var freeFiles: Int
    var isReadOnly: Bool

    init(bytes: Int, freeBytes: Int, files: Int, freeFiles: Int, isReadOnly: Bool) {
        self.bytes = bytes
        self.freeBytes = freeBytes
        self.files = files
        self.freeFiles = freeFiles
        self.isReadOnly = isReadOnly
    }

    init(_ figures: statvfs) {
        let unit = Int(clamping: figures.f_frsize)
        func bytes(_ blocks: UInt) -> Int { Int(clamping: blocks).multipliedReportingOverflow(by: unit).partialValue }
        self.init(
            bytes: bytes(UInt(figures.f_blocks)), freeBytes: bytes(UInt(figures.f_bavail)), files: Int(clamping: figures.f_files),
            freeFiles: Int(clamping: figures.f_favail), isReadOnly: figures.f_flag & UInt(ST_RDONLY) != 0)
    }
}
