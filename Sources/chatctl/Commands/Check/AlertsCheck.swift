import RelayControl
import RelayModel

/// What relayd itself found wrong.
struct AlertsCheck: HostCheck {
    let group = CheckGroup.relay
    let name = "alerts"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard situation.status != nil else { return found.skip("relayd does not answer") }
        do throws(ControlError) {
            let open = try await situation.control.call(AlertList()).alerts.filter { $0.overAt == nil }
            for alert in open {
                let text = "alert \(alert.alert), \(alert.kind): \(alert.text)"
                switch alert.severity {
                case .info: found.good(text)
                case .warning: found.warn(text, alert.advice)
                case .critical: found.fail(text, alert.advice)
                }
            }
            if open.isEmpty { found.good("none goes on") }
        } catch {
            found.skip(error.message)
        }
    }
}
