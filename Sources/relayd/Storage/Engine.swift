import RelayModel

/// A durable store behind the writer: a batch of commands becomes one transaction.
///
/// Confined to the writer's thread. The same commands must give the same tables and outcomes on every engine.
package protocol Engine: Sendable {
    /// The highest stamp that was ever applied.
    var lastStamp: Stamp { get }

    /// Applies the commands in order in one transaction and returns when it is flushed to the disk.
    /// - Returns: one outcome for each command.
    /// - Throws: when the transaction could not be committed; the engine must not be used again.
    func apply(_ batch: [StampedCommand]) throws -> [Outcome]
}
