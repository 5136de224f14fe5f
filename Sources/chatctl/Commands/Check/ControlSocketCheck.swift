import Glibc
import RelayControl

/// Is the control socket relayd's own, and can operators reach it?
struct ControlSocketCheck: HostCheck {
    let group = CheckGroup.files
    let name = "control socket"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        let path = situation.socket
        let directory = FileChecks.directory(of: path)
        guard let folder = FileFacts(directory) else {
            return situation.status == nil ? found.skip("there is no \(directory)") : found.skip("\(directory) cannot be looked at")
        }
        if folder.mode & 0o022 != 0, folder.mode & S_ISVTX == 0 {
            found.fail("others may put another socket in place of \(path) (\(folder.permissions))", "chmod 755 \(directory)")
        }
        let owner = situation.owner
        if let owner, folder.owner != 0, folder.owner != owner {
            found.fail("\(directory) belongs to user \(folder.owner)", "chown \(StoreFilesCheck.name(of: owner)) \(directory)")
        }
        guard let socket = FileFacts(path, follow: false) else {
            if found.isClean { found.skip("there is no \(path)") }
            return
        }
        if !socket.isSocket {
            found.fail("\(path) is not a socket: relayd cannot start", "remove it")
        } else if situation.status == nil, case .unreachable(let error) = situation.relay, error.code == .daemonUnreachable {
            found.good("\(path) was left behind; relayd replaces it when it starts")
        } else {
            // systemd makes it as root.
            if let owner, socket.owner != owner, socket.owner != 0 {
                found.fail("\(path) belongs to user \(socket.owner), and relayd runs as user \(owner)", "systemctl restart relayd")
            }
            if socket.mode & 0o666 != 0o666 {
                found.warn(
                    "members of the operators' groups cannot open \(path) (\(socket.permissions))",
                    "chmod 666 \(path): relayd decides who may do what")
            }
        }
        if let configured = situation.text("control.socket"), situation.status == nil, configured != path {
            found.warn("the configuration puts the socket at \(configured), and this looks at \(path)", "chatctl check --socket \(configured)")
        }
        if found.isClean, found.all.isEmpty { found.good("\(path), \(socket.permissions)") }
    }
}
