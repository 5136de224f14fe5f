import RelayControl

/// Is the log kept?
struct JournalCheck: HostCheck {
    let group = CheckGroup.host
    let name = "journal"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        func isThere(_ path: String) -> Bool { FileFacts(situation.root + path) != nil }
        if let status = situation.status {
            guard let target = FileFacts.target(of: "\(situation.root)/proc/\(status.processID)/fd/2") else {
                return found.skip("where relayd's log goes is for root to see")
            }
            if target == "/dev/null" {
                return found.warn(
                    "relayd's log goes to /dev/null: nobody will know what went wrong", "start it with systemd, or send its standard error to a file")
            }
            if !target.hasPrefix("socket:"), situation.text("log.destination") != "journal" { return found.good("the log goes to \(target)") }
        }
        guard isThere("/run/systemd/system") else { return found.skip("systemd does not run this host") }
        if !isThere("/run/systemd/journal/socket") {
            found.warn("systemd's journal does not run", "systemctl start systemd-journald")
        } else if !isThere("/var/log/journal") {
            found.warn(
                "the journal is in memory only: a restart of the host loses it", "mkdir -p /var/log/journal && systemctl restart systemd-journald")
        } else {
            found.good("the journal is kept in /var/log/journal")
        }
    }
}
