import Glibc
import RelayModel

/// Figures that alerts watch, taken when asked.
package protocol AlertGauge: Sendable {
    /// What there is now; a kind that cannot be measured is left out.
    func readings() -> [AlertKind: Int]
}

/// Room on the store's file system, and file descriptors.
package struct HostGauge: AlertGauge {
    private let path: String

    /// - Parameter path: of the store.
    package init(path: String) { self.path = path }

    package func readings() -> [AlertKind: Int] {
        var found: [AlertKind: Int] = [:]
        if let share = HostGauge.freePercent(path) {
            found[.diskLow] = share
            found[.diskNearlyFull] = share
        }
        if let used = HostGauge.openDescriptors {
            var limit = rlimit()
            if getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0, limit.rlim_cur > 0, limit.rlim_cur < 1 << 30 {
                found[.descriptorsLow] = used * 100 / Int(limit.rlim_cur)
            }
        }
        return found
    }

    /// Of the space, or of the inodes where fewer of those are left; nil when the file system does not say.
    private static func freePercent(_ path: String) -> Int? {
        var figures = statvfs()
        guard statvfs(path, &figures) == 0, figures.f_blocks > 0 else { return nil }
        let space = Int(figures.f_bavail) * 100 / Int(figures.f_blocks)
        guard figures.f_files > 0 else { return space }
        return min(space, Int(figures.f_favail) * 100 / Int(figures.f_files))
    }

    /// Bytes that the store may still grow by.
    static func freeBytes(_ path: String) -> Int? {
        var figures = statvfs()
        return statvfs(path, &figures) == 0 ? Int(figures.f_bavail) * Int(figures.f_frsize) : nil
    }

    private static var openDescriptors: Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Itself, and the two that every folder has.
        return max(0, count - 3)
    }
}
