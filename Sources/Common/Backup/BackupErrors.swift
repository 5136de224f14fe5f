import RelayControl
import RelayModel

// What operators are told, and what to do next.
extension ControlError {
    /// - Parameter path: the folder or file that it is about.
    package init(_ error: BackupError, _ path: String) {
        switch error {
        case .running: self.init(.tryAgain, "a backup is being made or read already", hint: "try again when it is done; there is one at a time")
        case .stopped:
            self.init(.tryAgain, "the backup was stopped; nothing is left of it", hint: "systemctl status relayd says whether it comes back")
        case .noRoom(let needed, let free):
            self.init(
                .failed, "there is not enough room for the backup: \(needed / 1_048_576 + 1) MiB are needed, \(free / 1_048_576) MiB are free",
                hint: "chatctl backup prune --keep 3 makes room, or name another folder in [backup] directory of relayd.toml")
        case .folder(let folder, let why):
            self.init(
                .failed, "the folder \(folder) cannot be used: \(why)",
                hint: "it must be relayd's own: install -d -o relayd -g relayd -m 700 \(folder)")
        case .notABackup: self.init(.failed, "\(Self.name(path)) is no backup of a relay", hint: "chatctl backup list shows those that there are")
        case .newerFormat: self.init(.failed, "\(Self.name(path)) was made by a newer version", hint: "use that version of chatctl and relayd")
        case .damaged(let why):
            self.init(.failed, "\(Self.name(path)) is damaged: \(why)", hint: "copy it again from where it came, or use another one")
        case .unreadable(let why):
            self.init(
                why == "Permission denied" ? .notPermitted : .failed, "\(Self.name(path)) cannot be read: \(why)",
                hint: why == "Permission denied" ? "backups are for root and relayd's own user: sudo chatctl backup …" : "chatctl backup list")
        case .failed(let why): self.init(.failed, "the backup failed: \(why)", hint: "nothing half is left; df -h and journalctl -u relayd say more")
        }
    }

    package init(_ error: RestoreError, _ path: String, store: String) {
        switch error {
        case .live: self.init(.tryAgain, "relayd uses \(store)", hint: "systemctl stop relayd.socket relayd, and then chatctl backup restore plan")
        case .planOutdated:
            self.init(.failed, "the backup or the store is not as it was when the plan was made", hint: "chatctl backup restore plan, and look again")
        case .damaged(let findings):
            self.init(
                .failed, (["\(Self.name(path)) is damaged, nothing was changed"] + findings).joined(separator: "\n"), hint: "use another backup")
        case .noRoom(let needed, let free):
            self.init(
                .failed, "there is not enough room beside the store: \(needed / 1_048_576 + 1) MiB are needed, \(free / 1_048_576) MiB are free",
                hint: "nothing was changed; the store that is there stays until the new one is in its place")
        case .notPermitted:
            self.init(
                .notPermitted, "\(store) may not be opened by this user", hint: "run it as root, or as relayd's own user: sudo chatctl backup …")
        case .backup(let error): self.init(error, path)
        case .failed(let why): self.init(.failed, "the restore failed: \(why)", hint: "the store is as it was")
        case .logAside(let log, let why):
            self.init(
                .failed,
                "\(store) cannot be replaced: \(why)\nits log was put aside for that, and cannot be put back; do not start relayd before it is",
                hint: "mv \(log) \(store)-wal")
        case .notFlushed(let why):
            self.init(
                .failed, "the backup is in the place of \(store), and the disk does not say that it stays there: \(why)",
                hint: "look at the disk first (dmesg); then restore once more, or start relayd and look")
        }
    }

    private static func name(_ path: String) -> String { path.isEmpty ? "the file" : path }
}
