import RelayControl
import RelayModel

/// Can all devices be connected at the same time?
struct DescriptorsCheck: HostCheck {
    let group = CheckGroup.host
    let name = "descriptors"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let status = situation.status else { return found.skip("relayd does not answer") }
        guard let limits = FileFacts.text("\(situation.root)/proc/\(status.processID)/limits"), let limit = Self.openFiles(in: limits) else {
            return found.skip("/proc/\(status.processID)/limits cannot be read: is relayd on this host?")
        }
        judge(limit: limit, devices: status.devices, &found)
    }

    /// The soft limit; nil when it is not there.
    static func openFiles(in limits: String) -> Int? {
        guard let line = limits.split(separator: "\n").first(where: { $0.hasPrefix("Max open files") }) else { return nil }
        let soft = line.dropFirst("Max open files".count).split(separator: " ").first
        return soft == "unlimited" ? .max : soft.flatMap { Int($0) }
    }

    func judge(limit: Int, devices: Int, _ found: inout CheckFindings) {
        let room = max(limit / 2, limit - Limits.reservedDescriptors)
        let text = "relayd may open \(Figures.count(limit)) files, so that \(Figures.count(room)) devices can be connected"
        let advice = "LimitNOFILE=524288 in the unit file (systemctl edit relayd), then: systemctl restart relayd"
        if limit < 4096 {
            found.fail(text, advice)
        } else if room < devices {
            found.warn("\(text), and there are \(Figures.count(devices))", advice)
        } else {
            found.good(text)
        }
    }
}
