import Glibc
import RelayControl

/// Who may change and read the configuration?
struct ConfigurationPermissionsCheck: HostCheck {
    let group = CheckGroup.files
    let name = "configuration"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let configuration = situation.configuration else { return found.skip("the configuration is not known") }
        guard let path = configuration.path else { return found.good("there is no file") }
        let directory = FileChecks.directory(of: path)
        guard let file = FileFacts(path), let folder = FileFacts(directory) else { return found.skip("\(path) cannot be looked at") }
        let owner = situation.owner
        for (path, facts) in [(directory, folder), (path, file)] {
            // A sticky directory, as /tmp, lets nobody replace what is another's.
            let isSticky = facts.isDirectory && facts.mode & S_ISVTX != 0
            if facts.mode & 0o022 != 0, !isSticky {
                found.fail("others may change \(path) (\(facts.permissions)), and with it what relayd runs", "chmod go-w \(path)")
            }
            if facts.owner != 0, facts.owner != owner { found.fail("\(path) belongs to user \(facts.owner)", "chown root \(path)") }
        }
        let secrets = configuration.options.filter { $0.secret && $0.line != nil && $0.value == nil }
        if !secrets.isEmpty, file.mode & 0o004 != 0 {
            found.warn(
                "everybody may read \(path) (\(file.permissions)), and it has a secret: \(secrets.map(\.name).joined(separator: ", "))",
                "chown root:relayd \(path) && chmod 640 \(path)")
        }
        if found.isClean { found.good("\(path), \(file.permissions)") }
    }
}
