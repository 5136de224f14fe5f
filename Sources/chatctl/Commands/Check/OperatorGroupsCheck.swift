import Glibc
import RelayControl

/// Are there the groups whose members may operate the relay?
struct OperatorGroupsCheck: HostCheck {
    let group = CheckGroup.files
    let name = "groups"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let admins = situation.text("control.admin_group"), let viewers = situation.text("control.view_group") else {
            return found.skip("the configuration is not known")
        }
        let missing = [admins, viewers].filter { (name: String) in getgrnam(name) == nil }
        for name in missing {
            found.warn("there is no group \(name): nobody but root and relayd's user is let in by it", "addgroup --system \(name)")
        }
        if missing.isEmpty { found.good("\(admins), \(viewers)") }
    }
}
