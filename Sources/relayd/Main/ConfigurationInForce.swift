import Glibc
import RelayControl
import RelayControlServer
import Synchronization

/// The configuration that the daemon runs with, and the file it came from. Any thread.
final class ConfigurationInForce: ConfigurationReport {
    private struct State {
        var configuration: Configuration
        /// Where each value that is in force stood when it was read.
        var lines: [String: Int]
        var path: String?
    }

    private let path: String
    private let named: Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - path: where the file is, or would be.
    ///   - named: the operator named it: it must exist.
    init(path: String, named: Bool, file: ConfigurationFile) {
        // chatctl looks at the file, too, from wherever it is.
        let path = Self.absolute(path)
        self.path = path
        self.named = named
        state = Mutex(State(configuration: file.configuration, lines: file.lines, path: file.isThere ? path : nil))
    }

    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }

    /// Reads the file again and puts what can be reloaded into force.
    /// - Returns: what is in force now, which options changed, and which wait for a restart.
    func reload() throws(ConfigurationProblems) -> (configuration: Configuration, applied: [ConfigurationOption], deferred: [ConfigurationOption]) {
        let file = try ConfigurationFile.load(path: path, named: named)
        return state.withLock { state in
            let changes = Self.changes(from: state.configuration, to: file.configuration)
            for option in changes.applied { _ = option.write(&state.configuration, option.read(file.configuration)) }
            let waiting = Set(changes.deferred.map(\.name))
            for option in ConfigurationOption.all where !waiting.contains(option.name) { state.lines[option.name] = file.lines[option.name] }
            state.path = file.isThere ? path : nil
            return (state.configuration, changes.applied, changes.deferred)
        }
    }

    /// Which options differ: those that a reload applies, and those that wait for a restart.
    static func changes(
        from old: Configuration, to new: Configuration
    ) -> (applied: [ConfigurationOption], deferred: [ConfigurationOption]) {
        let changed = ConfigurationOption.all.filter { $0.read(old) != $0.read(new) }
        return (changed.filter(\.reloadable), changed.filter { !$0.reloadable })
    }

    func inForce() -> ConfigShow.Reply {
        let state = self.state.withLock { $0 }
        return ConfigurationText.records(state.configuration, lines: state.lines, path: state.path)
    }

    func difference() throws(ControlError) -> ConfigDiff.Reply {
        let file: ConfigurationFile
        do throws(ConfigurationProblems) { file = try ConfigurationFile.load(path: path, named: named) } catch {
            throw ControlError(
                .configuration, error.problems.map(\.description).joined(separator: "\n"),
                hint: "relayd would not start with it, and a reload keeps what is in force")
        }
        let running = state.withLock { $0.configuration }
        let changes = Self.changes(from: running, to: file.configuration)
        let waiting = Set(changes.deferred.map(\.name))
        return ConfigDiff.Reply(
            path: path,
            differences: ConfigurationOption.all.filter { $0.read(running) != $0.read(file.configuration) }.map { option in
                ConfigurationDifference(
                    name: option.name, running: option.secret ? nil : option.read(running),
                    file: option.secret ? nil : option.read(file.configuration), line: file.lines[option.name],
                    needs: waiting.contains(option.name) ? .restart : .reload)
            })
    }
}
