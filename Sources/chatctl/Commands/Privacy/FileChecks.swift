import Glibc
import RelayControl

/// Who may read and change the relay's files.
struct FileChecks {
    let facts: PrivacyFacts.Reply
    let socket: String
    /// The user that relayd runs as.
    let owner: uid_t
    var proc = "/proc"
    var temporary = ["/tmp", "/var/tmp"]

    /// What SQLite and relayd make beside the database.
    static let companions = ["", "-wal", "-shm", "-journal", ".lock"]

    private var directory: String { Self.directory(of: facts.storePath) }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    func store(_ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        guard let directory = FileFacts(directory) else { throw PrivacySkip(reason: "\(directory) cannot be looked at") }
        judge(self.directory, directory, allowed: 0o700, "the directory of the store", &found)
        var looked = 0
        for companion in Self.companions {
            let path = facts.storePath + companion
            guard let file = FileFacts(path, follow: false) else { continue }
            looked += 1
            if !file.isRegular { found.add(path, "it is not a regular file") }
            judge(path, file, allowed: 0o600, "the store", &found)
        }
        guard looked > 0 else { throw PrivacySkip(reason: "\(facts.storePath) cannot be looked at") }
        let known = Set(Self.companions.map { facts.storePath + $0 })
        for name in FileFacts.names(in: self.directory) ?? [] {
            let path = "\(self.directory)/\(name)"
            guard !known.contains(path), path != facts.configurationPath, let file = FileFacts(path, follow: false), file.isRegular else { continue }
            looked += 1
            if file.mode & 0o077 != 0 {
                found.add(path, "it lies beside the store, and others may read or change it (\(file.permissions)): chmod 600")
            }
        }
        return "\(looked) files in \(self.directory)"
    }

    private func judge(_ path: String, _ file: FileFacts, allowed: mode_t, _ what: String, _ found: inout PrivacyReport.Findings) {
        let others = file.mode & 0o777 & ~allowed
        if others & 0o007 != 0 {
            found.add(path, "everybody may open \(what) (\(file.permissions)): chmod \(String(allowed, radix: 8))")
        } else if others != 0 {
            found.add(path, "its group may open \(what) (\(file.permissions)): chmod \(String(allowed, radix: 8))")
        }
        if file.owner != owner { found.add(path, "it belongs to user \(file.owner), and relayd runs as user \(owner)") }
    }

    /// Everybody may connect to the socket, and relayd decides; but nobody else may put another in its place.
    func controlSocket(_ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        guard let file = FileFacts(socket, follow: false), let directory = FileFacts(Self.directory(of: socket)) else {
            throw PrivacySkip(reason: "\(socket) cannot be looked at")
        }
        if !file.isSocket { found.add(socket, "it is not a socket") }
        // systemd makes it as root.
        if file.owner != owner, file.owner != 0 { found.add(socket, "it belongs to user \(file.owner), and relayd runs as user \(owner)") }
        if directory.mode & 0o022 != 0 {
            found.add(Self.directory(of: socket), "others may put another socket in its place (\(directory.permissions)): chmod 755")
        }
        if directory.owner != owner, directory.owner != 0 {
            found.add(Self.directory(of: socket), "it belongs to user \(directory.owner), and relayd runs as user \(owner)")
        }
        return "\(socket), \(file.permissions)"
    }

    func configuration(_ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        guard let path = facts.configurationPath else { return "relayd runs on defaults" }
        guard let file = FileFacts(path) else { throw PrivacySkip(reason: "\(path) cannot be looked at") }
        if file.mode & 0o022 != 0 { found.add(path, "others may change the configuration (\(file.permissions)): chmod go-w") }
        if file.owner != owner, file.owner != 0 { found.add(path, "user \(file.owner) may change the configuration: chown root") }
        return "\(path), \(file.permissions)"
    }

    /// What the process writes besides its store: a record of commands has names, keys and who writes to whom.
    func openFiles(_ log: String?, _ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        let place = "\(proc)/\(facts.processID)/fd"
        guard let numbers = FileFacts.names(in: place) else { throw PrivacySkip(reason: "\(place) cannot be read: become root or relayd's user") }
        let own = Self.companions.map { facts.storePath + $0 } + [log, facts.configurationPath].compactMap(\.self)
        let known = Set(own.compactMap { FileFacts($0)?.identity })
        // The first three are of whoever started it.
        for number in numbers where !["0", "1", "2"].contains(number) {
            guard let path = FileFacts.target(of: "\(place)/\(number)"), path.hasPrefix("/"), !path.hasPrefix("/dev/"), !path.hasPrefix("/proc/"),
                !path.hasPrefix("/sys/"), !path.hasPrefix("/memfd:"), !path.hasSuffix(" (deleted)"), let file = FileFacts("\(place)/\(number)"),
                file.isRegular, !known.contains(file.identity)
            else { continue }
            found.add(path, "relayd has it open, and it is none of its own files: a record of commands?")
        }
        var temporaries = 0
        for directory in temporary {
            for name in FileFacts.names(in: directory) ?? [] where name.hasPrefix("etilqs_") {
                temporaries += 1
                guard let file = FileFacts("\(directory)/\(name)", follow: false), file.owner == owner else { continue }
                found.add("\(directory)/\(name)", "SQLite left a temporary file behind, which may hold rows of the store: delete it")
            }
        }
        return "\(numbers.count) descriptors, \(temporary.joined(separator: " and "))"
    }
}
