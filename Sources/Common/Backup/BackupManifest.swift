import FoundationEssentials
import RelayCrypto
import RelayModel

/// What a backup says of itself, in the page of text behind the copy of the store.
package struct BackupManifest: Codable, Sendable, Equatable {
    package enum Reason: String, Codable, Sendable {
        /// Somebody, or a timer, asked for it.
        case operation = "operator"
        /// Before a new version changed the store.
        case upgrade
    }

    /// Of the file's shape.
    package var format = 1
    package var relayVersion: String
    package var schema: Int
    /// When the copy began: what was stored later is not in it.
    package var at: Timestamp
    package var reason: Reason
    /// Bytes in front of this page.
    package var databaseBytes: Int
    /// BLAKE2b-256 of them, hexadecimal.
    package var hash: String
    /// No stamp at or above this one was given out; decimal, because it needs 64 bits.
    package var stamp: String
    /// Rows by table.
    package var rows: [String: Int]

    package init(
        relayVersion: String, schema: Int, at: Timestamp, reason: Reason, databaseBytes: Int, hash: String, stamp: String, rows: [String: Int]
    ) {
        self.relayVersion = relayVersion
        self.schema = schema
        self.at = at
        self.reason = reason
        self.databaseBytes = databaseBytes
        self.hash = hash
        self.stamp = stamp
        self.rows = rows
    }

    /// What the page begins with; a hash of the text that follows it stands behind it.
    static let mark = "relayd-backup 1 "

    func page() throws(BackupError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let text = try? Array(encoder.encode(self)) else { throw .failed("the manifest cannot be written") }
        let page = Array((Self.mark + HexText.of(Hashing.blake2b256(text)) + "\n").utf8) + text + Array("\n".utf8)
        guard page.count <= Limits.backupManifestBytes else { throw .failed("the manifest does not fit its page") }
        return page + [UInt8](repeating: UInt8(ascii: " "), count: Limits.backupManifestBytes - page.count)
    }

    init(page: [UInt8]) throws(BackupError) {
        let lines = page.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        guard lines.count == 3, page.starts(with: Self.mark.utf8) else { throw .notABackup }
        let hash = String(decoding: lines[0].dropFirst(Self.mark.utf8.count), as: UTF8.self)
        guard hash == HexText.of(Hashing.blake2b256(Array(lines[1]))) else { throw .damaged("its description was changed") }
        // The hash was right, so whoever wrote it meant it: a later version.
        guard let manifest = try? JSONDecoder().decode(BackupManifest.self, from: Data(lines[1])), manifest.format == 1 else {
            throw .newerFormat
        }
        self = manifest
    }
}

/// Why a backup cannot be made, read or used.
package enum BackupError: Error, Sendable, Equatable {
    /// Another one is being made.
    case running
    case stopped
    /// Bytes that are needed, and that are free.
    case noRoom(needed: Int, free: Int)
    case folder(String, String)
    case notABackup
    case newerFormat
    case damaged(String)
    case unreadable(String)
    case failed(String)
}
