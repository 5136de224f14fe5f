import Glibc
import NIOCore
import RelayControl
import RelayStorage

// What an audit of privacy must know.
extension Operations {
    func privacyFacts(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(PrivacyFacts.self, body) { _ in
            PrivacyFacts.Reply(
                processID: Int(getpid()), storePath: store.path, configurationPath: settings.configurationPath, addresses: settings.addresses,
                tables: SchemaInventory.contents.sorted { $0.key < $1.key }.map { table, columns in
                    PrivacyTableRecord(
                        name: table,
                        columns: columns.sorted { $0.key < $1.key }.map { PrivacyColumnRecord(name: $0.key, holds: $0.value.rawValue) })
                }, triggers: SchemaInventory.triggers.sorted())
        }
    }
}
