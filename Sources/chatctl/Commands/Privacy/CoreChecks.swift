import Glibc
import RelayControl

/// Whether the memory of the running relay can come onto a disk.
struct CoreChecks {
    let processID: Int
    let storePath: String
    /// proc(5); tests put their own in its place.
    var proc = "/proc"

    /// Looks at the limit, at whether the kernel would dump the process at all, and at where the file would go.
    func settings(_ found: inout PrivacyReport.Findings) throws(PrivacySkip) -> String {
        guard let limits = FileFacts.text("\(proc)/\(processID)/limits") else {
            throw PrivacySkip(reason: "\(proc)/\(processID)/limits cannot be read: is relayd on this host, and are you root or its user?")
        }
        guard let line = limits.split(separator: "\n").first(where: { $0.hasPrefix("Max core file size") }) else {
            throw PrivacySkip(reason: "the kernel does not tell the limit of core files")
        }
        let values = line.dropFirst("Max core file size".count).split(separator: " ")
        let soft = values.first.map(String.init) ?? "?"
        let pattern = (FileFacts.text("\(proc)/sys/kernel/core_pattern") ?? "?").split(separator: "\n").first.map(String.init) ?? "?"
        if !isDumpable { return "the kernel does not dump process \(processID)" }
        if soft != "0" {
            found.add(
                "process \(processID)",
                "it may write core files (limit \(soft), \(pattern)), which hold tokens: LimitCORE=0, or ulimit -c 0 before it starts")
        } else if pattern.hasPrefix("|"), !pattern.contains("systemd-coredump"), !pattern.contains("apport") {
            // A program that takes core files from the kernel gets them whatever the limit is; these two ask for it.
            found.add("core_pattern", "core files go to a program that may not heed the limit: \(pattern.dropFirst().prefix { $0 != " " })")
        }
        return "limit \(soft), \(pattern)"
    }

    /// The files of a process that is not dumped belong to root. Of a relay that runs as root it cannot be told.
    private var isDumpable: Bool {
        guard let process = FileFacts("\(proc)/\(processID)/status"), let text = FileFacts.text("\(proc)/\(processID)/status") else { return true }
        let uid = text.split(separator: "\n").first { $0.hasPrefix("Uid:") }?.split(separator: "\t").dropFirst().dropFirst().first.flatMap {
            uid_t($0)
        }
        return process.owner != 0 || uid == 0 || uid == nil
    }

    /// Core files that are there already, where they would be.
    var files: [String] {
        var places = [String(storePath.prefix(upTo: storePath.lastIndex(of: "/") ?? storePath.startIndex))]
        if let working = FileFacts.target(of: "\(proc)/\(processID)/cwd") { places.append(working) }
        let pattern = FileFacts.text("\(proc)/sys/kernel/core_pattern") ?? ""
        if pattern.hasPrefix("/"), let slash = pattern.lastIndex(of: "/") { places.append(String(pattern[..<slash])) }
        places.append("/var/lib/systemd/coredump")
        var found: [String] = []
        for place in places where !place.isEmpty {
            for name in FileFacts.names(in: place) ?? [] where Self.isCore(name) {
                let path = place == "/" ? "/\(name)" : "\(place)/\(name)"
                if !found.contains(path), FileFacts(path)?.isRegular == true { found.append(path) }
            }
        }
        return found
    }

    /// `core`, `core.4711`, `relayd.core`, `core.relayd.…zst`.
    static func isCore(_ name: String) -> Bool {
        if name == "core" || name.hasSuffix(".core") { return true }
        guard name.hasPrefix("core.") else { return false }
        let rest = name.dropFirst("core.".count)
        return rest.allSatisfy(\.isNumber) || rest.hasPrefix("relayd")
    }
}
