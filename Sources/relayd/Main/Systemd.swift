import CSystemd
import Glibc

/// What relayd tells the service manager, as sd_notify(3) describes it. Without one, nothing happens.
enum Systemd {
    /// Clients and operators can connect.
    static func ready(_ status: String) { notify("READY=1\nSTATUS=\(status)") }

    /// For `Type=notify-reload`: begins a reload, which the next ``ready(_:)`` ends.
    static func reloading() {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        notify("RELOADING=1\nMONOTONIC_USEC=\(time.tv_sec * 1_000_000 + time.tv_nsec / 1000)\nSTATUS=reloading the configuration")
    }

    /// - Parameter within: what is left to do takes at most so long; systemd waits for it.
    static func stopping(_ status: String, within: Duration) {
        notify("STOPPING=1\nSTATUS=\(status)\nEXTEND_TIMEOUT_USEC=\(Int64(within / .microseconds(1)))")
    }

    /// Everything moves.
    static func alive() { notify("WATCHDOG=1") }

    /// What `WatchdogSec=` allows; nil without one.
    static var watchdogPatience: Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// Where the credentials of the unit are (systemd.exec(5)).
    static var credentialsDirectory: String? { getenv("CREDENTIALS_DIRECTORY").map { String(cString: $0) } }

    /// Something takes long before relayd is ready: systemd waits for up to an hour more.
    static func busy(_ status: String) { notify("EXTEND_TIMEOUT_USEC=3600000000\nSTATUS=\(status)") }

    private static func notify(_ state: String) {
        // 0 means that nobody listens, which is no error; neither can anything be done about a failure.
        _ = sd_notify(0, state)
    }

    /// `JOURNAL_STREAM` names the device and inode of the stream that systemd connected to the journal (systemd.exec(5)).
    static var standardErrorIsJournal: Bool {
        guard let value = getenv("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard fstat(STDERR_FILENO, &status) == 0 else { return false }
        return String(cString: value) == "\(status.st_dev):\(status.st_ino)"
    }
}
