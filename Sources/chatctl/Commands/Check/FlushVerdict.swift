/// What the times of flushes say about a disk. Pure.
struct FlushVerdict: Equatable {
    var result: CheckResult
    var text: String
    var advice: String

    /// Faster than a command reaches any disk and comes back: nothing was sent to one.
    static let noDiskSeconds = 8e-6
    /// Faster than a cell of flash is written; only a cache that survives a power cut may say so.
    static let noFlashSeconds = 40e-6
    /// Faster than a platter comes round, on average, by far.
    static let noPlatterSeconds = 1e-3
    /// From here on people wait for their sends.
    static let slowSeconds = 0.1

    /// - Parameter seconds: of each write with its flush.
    init(_ seconds: [Double], _ disk: DataDisk) {
        let sorted = seconds.sorted()
        guard !sorted.isEmpty else {
            self.init(.skipped, "no flush was measured", "")
            return
        }
        let median = sorted[sorted.count / 2]
        let p99 = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
        let what = "\(disk.words): half of the flushes took less than \(Self.time(median)), 99 % less than \(Self.time(p99))"
        let loses = "it may lose messages that were acknowledged at a power cut"
        if disk.isMemory {
            self.init(
                .error, "the store lies in memory (\(disk.fileSystem)): everything is lost when the host stops",
                "put the store (store.path) on a disk")
        } else if disk.hasBarriersOff {
            self.init(
                .error, "\(disk.words) is mounted without barriers, so that flushes do not reach the disk: \(loses)",
                "take nobarrier or barrier=0 out of /etc/fstab, then: mount -o remount")
        } else if median < Self.noDiskSeconds {
            self.init(
                .error, "\(what). This disk acknowledges flushes faster than any real disk: \(loses)",
                "look for what leaves flushes out: eatmydata, a virtual disk with cache=unsafe, a file system in memory")
        } else if disk.kind == .rotating, median < Self.noPlatterSeconds {
            let isAdmitted = disk.hasVolatileCache
            self.init(
                isAdmitted ? .error : .warning,
                "\(what). That is faster than its platters turn, so it acknowledges what is only in its cache: \(loses)",
                "fine behind a controller whose cache has a battery; otherwise switch the cache off: hdparm -W 0 /dev/\(disk.device)")
        } else if disk.kind == .flash, disk.hasVolatileCache, median < Self.noFlashSeconds {
            self.init(
                .warning, "\(what). That is faster than flash is written, and the disk has a cache that it calls volatile: \(loses)",
                "fine when its maker says that it has power-loss protection; otherwise use another disk")
        } else if disk.isNetwork {
            self.init(
                .warning, "\(what). It is a network file system: whether it keeps what it acknowledges is up to the server",
                "put the store (store.path) on a disk of this host")
        } else if p99 > Self.slowSeconds {
            self.init(.warning, "\(what): sends wait for them", "use a faster disk, or find who else keeps it busy: iostat -x 1")
        } else if disk.kind == .virtual {
            self.init(.good, "\(what). It is virtual: that the host below flushes as well cannot be seen from here", "")
        } else {
            self.init(.good, what, "")
        }
    }

    private init(_ result: CheckResult, _ text: String, _ advice: String) {
        self.result = result
        self.text = text
        self.advice = advice
    }

    private static func time(_ seconds: Double) -> String {
        seconds < 1e-3 ? "\(Figures.decimal(seconds * 1e6, digits: seconds < 1e-5 ? 1 : 0)) µs" : Figures.shortTime(seconds)
    }
}
