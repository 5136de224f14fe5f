import ArgumentParser
import RelayControl
import RelayModel

/// What a shell offers when Tab is pressed: asked of relayd over its socket, and nothing when it does not answer or the caller may not ask.
extension CompletionKind {
    /// Names of users.
    static let users = CompletionKind.custom { words, _, prefix in
        // The name itself comes before all that begin with it, and `after` is exclusive.
        let beginning = String(prefix.lowercased().dropLast())
        let request = UserList(after: beginning.isEmpty ? nil : beginning, limit: Limits.completions)
        return await ask(request, words)?.users.map(\.name).filter { $0.hasPrefix(prefix.lowercased()) } ?? []
    }

    /// Numbers of devices.
    static let devices = CompletionKind.custom { words, _, prefix in
        let devices = await ask(DeviceList(), words)?.devices.map(\.id.description) ?? []
        return Array(devices.filter { $0.hasPrefix(prefix) }.prefix(Limits.completions))
    }

    /// Names of backups; paths are left to the person.
    static let backups = CompletionKind.custom { words, _, prefix in
        let names = await ask(BackupList(), words)?.backups.map(\.name) ?? []
        return Array(names.filter { $0.hasPrefix(prefix) }.prefix(Limits.completions))
    }

    private static func ask<Operation: ControlOperation>(_ operation: Operation, _ words: [String]) async -> Operation.Reply? {
        try? await ControlClient(socket: socket(words), patience: Limits.completionPatience).call(operation)
    }

    /// The line that is being typed is not parsed yet.
    private static func socket(_ words: [String]) -> String {
        if let index = words.lastIndex(of: "--socket"), index + 1 < words.endIndex { return words[index + 1] }
        if let word = words.last(where: { $0.hasPrefix("--socket=") }) { return String(word.dropFirst("--socket=".count)) }
        return environment("CHATCTL_SOCKET") ?? defaultControlSocket
    }
}
