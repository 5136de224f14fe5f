/// An entry of the operators' log as it is hashed. Pure; who reads a store's file and who writes it use the same.
///
/// Who is meant, and why, is in the hash as a commitment only: the hash of a random salt and the text. When an erasure takes a name out, the salt goes
/// with it; what stays in the chain is then 32 bytes that nobody can try names against, and every later hash is as it was.
package struct AuditChainEntry: Sendable, Equatable {
    /// 1, 2, 3, …
    package var number: Int
    package var stamp: UInt64
    package var uid: UInt32
    package var operation: String
    /// `done`, or the code of the error.
    package var result: String
    /// Refused and failed ones before this one that were too many to be written down.
    package var missed: Int
    /// See ``commitment(salt:subject:reason:)``.
    package var commitment: [UInt8]

    package init(number: Int, stamp: UInt64, uid: UInt32, operation: String, result: String, missed: Int, commitment: [UInt8]) {
        self.number = number
        self.stamp = stamp
        self.uid = uid
        self.operation = operation
        self.result = result
        self.missed = missed
        self.commitment = commitment
    }

    package func hash(after previous: [UInt8]) -> [UInt8] {
        HashChain.audit.hash(
            "audit 1 number=\(number) stamp=\(stamp) uid=\(uid) operation=\(operation) result=\(result) missed=\(missed) text=\(HexText.of(commitment))",
            after: previous)
    }

    /// 32 bytes.
    package static func commitment(salt: [UInt8], subject: String, reason: String?) -> [UInt8] {
        // With its length in front, no text can be moved from one field into the other.
        var bytes = Array("relayd audit text".utf8) + length(salt.count) + salt + length(subject.utf8.count) + Array(subject.utf8)
        if let reason { bytes += [1] + length(reason.utf8.count) + Array(reason.utf8) } else { bytes.append(0) }
        return Hashing.blake2b256(bytes)
    }

    private static func length(_ count: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(truncatingIfNeeded: count).bigEndian) { Array($0) } }
}

/// Bytes as hexadecimal digits.
package enum HexText {
    package static func of(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Nil for anything but pairs of digits.
    package static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.compactMap { byte -> UInt8? in
            switch byte {
            case 48...57: byte - 48
            case 65...70: byte - 55
            case 97...102: byte - 87
            default: nil
            }
        }
        guard digits.count == text.utf8.count, digits.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

/// Holds the operators' log, entry by entry from the oldest that is kept, against its chain. A value; the caller reads the rows.
package struct AuditCheck: Sendable {
    package private(set) var entries = 0
    /// Of which an erasure took something out.
    package private(set) var erased = 0
    package private(set) var first: Int?
    package private(set) var last: AuditChainEntry?
    /// Of the last entry.
    package private(set) var hash = HashChain.beginning
    /// Sentences; empty when all is well. The first few: one change makes all later hashes others, and is told once.
    package private(set) var findings: [String] = []
    private let kept: Int

    /// - Parameter kept: how many entries stay when more come.
    package init(kept: Int) { self.kept = kept }

    /// - Parameters:
    ///   - salt: nil when an erasure took something out.
    ///   - hash: as it stands in the row.
    package mutating func add(_ entry: AuditChainEntry, salt: [UInt8]?, subject: String, reason: String?, hash stored: [UInt8]) {
        entries += 1
        if let last {
            if entry.number != last.number + 1 {
                find("behind entry \(last.number) comes \(entry.number): what was between them is gone")
            }
            if entry.stamp <= last.stamp { find("entry \(entry.number) is older than the one before it") }
        } else {
            first = entry.number
        }
        // Of the oldest that is kept, the one before is gone: its own hash is where the chain begins.
        let isAnchor = last == nil && entry.number > 1
        if !isAnchor, entry.hash(after: hash) != stored { find("entry \(entry.number) was changed, or one before it") }
        if let salt {
            if AuditChainEntry.commitment(salt: salt, subject: subject, reason: reason) != entry.commitment {
                find("the subject or reason of entry \(entry.number) was changed")
            }
        } else {
            erased += 1
        }
        hash = stored
        last = entry
    }

    /// After the last one.
    package mutating func finish() {
        guard let first, let last, first > 1, last.number - first + 1 < kept else { return }
        find("the log begins with entry \(first), although fewer than \(kept) follow: its beginning was cut off")
    }

    private mutating func find(_ text: String) {
        if findings.count < 10 { findings.append(text) }
    }
}
