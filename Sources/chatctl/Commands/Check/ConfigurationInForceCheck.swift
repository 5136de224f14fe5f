import RelayControl

/// Does relayd run with what the file says?
struct ConfigurationInForceCheck: HostCheck {
    let group = CheckGroup.configuration
    let name = "in force"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard situation.status != nil else { return found.skip("relayd does not answer") }
        do throws(ControlError) {
            let differences = try await situation.control.call(ConfigDiff()).differences
            for (step, command) in [(ConfigurationDifference.Step.restart, "systemctl restart relayd"), (.reload, "systemctl reload relayd")] {
                let names = differences.filter { $0.needs == step }.map(\.name)
                guard !names.isEmpty else { continue }
                found.warn("the file says otherwise: \(names.joined(separator: ", "))", "\(command); chatctl config diff shows both")
            }
            if differences.isEmpty { found.good("what the file says") }
        } catch {
            found.skip(error.code == .configuration ? "the file is wrong" : error.message)
        }
    }
}
