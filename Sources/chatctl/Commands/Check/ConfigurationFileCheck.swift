import RelayControl

/// Would relayd start with the file that is there?
struct ConfigurationFileCheck: HostCheck {
    let group = CheckGroup.configuration
    let name = "file"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        if situation.status != nil {
            do throws(ControlError) {
                let path = try await situation.control.call(ConfigDiff()).path
                found.good(situation.configuration?.path == nil ? "there is no \(path): everything is the default" : path)
            } catch  where error.code == .configuration {
                for line in error.message.split(separator: "\n") { found.fail(String(line), error.hint ?? "relayd would not start with it") }
            } catch {
                found.skip(error.message)
            }
            return
        }
        guard situation.configurationProblems.isEmpty else {
            for line in situation.configurationProblems { found.fail(line, "mend it: relayd does not start with it; relayd.toml(5) has every key") }
            return
        }
        found.good(situation.configuration?.path ?? "there is none: everything is the default")
    }
}
