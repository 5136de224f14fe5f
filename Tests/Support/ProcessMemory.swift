import Foundation

/// What a process takes of the machine's memory.
package enum ProcessMemory {
    /// Resident bytes, from proc(5)'s `statm`.
    package static func residentBytes(_ process: pid_t) throws -> Int {
        let fields = try String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8).split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { throw SupportFailure("/proc/\(process)/statm is not as expected") }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
