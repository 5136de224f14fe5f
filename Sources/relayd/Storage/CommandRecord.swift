import FoundationEssentials
import RelayModel
import RelaySQLite

#if canImport(Glibc)
    import Glibc
#endif

/// A file of stamped commands, one JSON object a line, in the order in which they were applied. It carries ciphertext, keys and
/// names: for tests and for finding faults, never on by default. Confined to the writer's thread.
final class CommandRecord: @unchecked Sendable {
    private let file: Int32

    /// Appends to the file; a new one has mode 0600.
    init(path: String) throws(StoreError) {
        file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw StoreError.record(String(cString: strerror(errno))) }
    }

    deinit { close(file) }

    func append(_ commands: [StampedCommand]) throws {
        var bytes: [UInt8] = []
        let encoder = JSONEncoder()
        for command in commands {
            bytes += try encoder.encode(command)
            bytes.append(UInt8(ascii: "\n"))
        }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(file, $0.baseAddress?.advanced(by: written), $0.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw StoreError.record(String(cString: strerror(errno))) }
            written += count
        }
    }
}

/// Applies recorded commands to an empty store: the same commands give the same tables.
package enum Replay {
    /// - Parameters:
    ///   - record: what a relay wrote under `--record-commands`.
    ///   - path: the store to make.
    ///   - batch: commands in one transaction; the result does not depend on it.
    /// - Returns: how many commands were applied.
    package static func apply(record: String, toStoreAt path: String, batch: Int) throws -> Int {
        let database = try Database(path: path, access: .readWriteCreate)
        try Store.migrate(database)
        let engine = try SQLiteEngine(database: database)
        let decoder = JSONDecoder()
        let commands = try Data(contentsOf: URL(filePath: record)).split(separator: UInt8(ascii: "\n")).map {
            try decoder.decode(StampedCommand.self, from: $0)
        }
        var rest = commands[...]
        while !rest.isEmpty {
            _ = try engine.apply(Array(rest.prefix(batch)))
            rest = rest.dropFirst(batch)
        }
        return commands.count
    }
}
