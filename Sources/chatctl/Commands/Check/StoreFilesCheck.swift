import Glibc
import RelayControl

/// Is the store relayd's alone?
struct StoreFilesCheck: HostCheck {
    let group = CheckGroup.files
    let name = "store"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let path = situation.storePath else { return found.skip("the configuration is not known") }
        let directory = FileChecks.directory(of: path)
        guard let folder = FileFacts(directory) else {
            if access(directory, F_OK) != 0, errno == ENOENT, situation.status == nil {
                return found.warn(
                    "there is no directory \(directory) yet",
                    "systemd makes it when relayd is started; without: install -d -m 700 -o relayd \(directory)")
            }
            return found.skip("\(directory) cannot be looked at: run it as root")
        }
        let owner = situation.owner
        judge(directory, folder, allowed: 0o700, owner, &found)
        var looked = 0
        for companion in FileChecks.companions {
            let file = path + companion
            guard let facts = FileFacts(file, follow: false) else { continue }
            looked += 1
            guard facts.isRegular else {
                found.fail("\(file) is not a regular file", "put the database itself there: relayd does not follow links")
                continue
            }
            judge(file, facts, allowed: 0o600, owner, &found)
        }
        guard found.isClean else { return }
        looked == 0
            ? found.skip("there is no \(path) that this user may look at") : found.good("\(looked) files in \(directory), \(folder.permissions)")
    }

    private func judge(_ path: String, _ file: FileFacts, allowed: mode_t, _ owner: uid_t?, _ found: inout CheckFindings) {
        if file.mode & 0o777 & ~allowed != 0 {
            found.fail("others may open \(path) (\(file.permissions))", "chmod \(String(allowed, radix: 8)) \(path)")
        }
        if let owner, file.owner != owner {
            found.fail("\(path) belongs to user \(file.owner), and relayd runs as user \(owner)", "chown \(Self.name(of: owner)) \(path)")
        }
    }

    static func name(of user: uid_t) -> String { getpwuid(user).map { String(cString: $0.pointee.pw_name) } ?? String(user) }
}
