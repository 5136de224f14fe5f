import RelayControl
import RelayModel

/// Does relayd run, is it of this version, and does it serve?
struct RelayCheck: HostCheck {
    let group = CheckGroup.relay
    let name = "relayd"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        switch situation.relay {
        case .unreachable(let error):
            found.warn(
                "\(error.message); what needs it running was not looked at", error.hint ?? "systemctl status relayd says how relayd is")
        case .running(let status):
            if status.relayVersion != relayVersion {
                found.warn(
                    "relayd \(status.relayVersion) runs, and chatctl is \(relayVersion)",
                    "install both of the same version, then: systemctl restart relayd")
            }
            for reason in status.health.reasons {
                switch reason.state {
                case .unready: found.fail(reason.text, "journalctl -u relayd says why")
                // They have a check of their own.
                case .degraded where reason.code == .alert: continue
                case .degraded, .ready: found.warn(reason.text, "chatctl top shows what it does")
                }
            }
            if found.isClean { found.good("\(status.relayVersion), running for \(Figures.span(status.now - status.startedAt))") }
        }
    }
}
