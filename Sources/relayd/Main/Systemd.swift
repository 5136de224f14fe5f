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

    /// Something takes long before relayd is ready: systemd waits for up to an hour more.
    static func busy(_ status: String) { notify("EXTEND_TIMEOUT_USEC=3600000000\nSTATUS=\(status)") }

    static func stopping(_ status: String) { notify("STOPPING=1\nSTATUS=\(status)") }

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
