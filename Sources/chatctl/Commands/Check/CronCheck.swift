import RelayControl

/// Does something delete what policies do not keep?
struct CronCheck: HostCheck {
    let group = CheckGroup.host
    let name = "purge"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let hours = situation.number("retention.purge_hours") else { return found.skip("the configuration is not known") }
        func isThere(_ path: String) -> Bool { FileFacts(situation.root + path) != nil }
        let hasFile = isThere("/etc/cron.d/chatctl")
        let hasCron = isThere("/run/crond.pid") || isThere("/run/crond.reboot") || isThere("/run/cron.pid")
        if hours > 0 {
            found.good(
                "relayd purges every \(Figures.number(hours, "hour")) by itself\(hasFile ? hasCron ? ", and cron every night" : "; cron does not run" : "")"
            )
        } else if !hasFile {
            found.warn(
                "retention.purge_hours is 0 and there is no /etc/cron.d/chatctl: nothing deletes what policies do not keep",
                "set retention.purge_hours = 6, or install the cron file of the package chatctl")
        } else if !hasCron {
            found.warn(
                "retention.purge_hours is 0 and cron does not run",
                "apt install cron && systemctl enable --now cron, or set retention.purge_hours = 6")
        } else {
            found.good("cron purges every night")
        }
    }
}
