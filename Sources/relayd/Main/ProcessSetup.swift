import Glibc
import Logging

/// What the process asks of the kernel before it does anything else.
enum ProcessSetup {
    /// Below this, few clients fit besides the store's files; the unit file asks for far more.
    private static let descriptorsWanted = 4096

    /// Files are private unless their mode is set on purpose; a closed connection and a file that may not grow are errors of a write, not
    /// signals; SIGHUP waits until the daemon can reload.
    static func begin() {
        umask(0o077)
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        signal(SIGHUP, SIG_IGN)
    }

    /// Raises the limit of open files as far as it goes. Gives what it is then.
    static func raiseDescriptorLimit(_ logger: Logger) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            logger.warning("the limit of open files is unknown", metadata: ["reason": "\(String(cString: strerror(errno)))"])
            return descriptorsWanted
        }
        if limit.rlim_cur < limit.rlim_max {
            let before = limit.rlim_cur
            limit.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
                limit.rlim_cur = before
                logger.warning("the limit of open files cannot be raised", metadata: ["reason": "\(String(cString: strerror(errno)))"])
            }
        }
        if limit.rlim_cur < descriptorsWanted {
            logger.warning(
                "few clients can connect: the limit of open files is low; set LimitNOFILE= in the unit file", metadata: ["limit": "\(limit.rlim_cur)"]
            )
        } else {
            logger.debug("open files", metadata: ["limit": "\(limit.rlim_cur)"])
        }
        return Int(clamping: limit.rlim_cur)
    }
}
