import CSystemd
import Glibc

/// Structured entries in systemd's journal: MESSAGE, PRIORITY, the logger as RELAYD_LOGGER, and RELAYD_… for every field.
struct JournalSink: LogSink {
    func write(_ line: LogLine) {
        let assignments = Self.assignments(line)
        var bytes: [UInt8] = []
        var ranges: [(start: Int, count: Int)] = []
        for assignment in assignments {
            ranges.append((bytes.count, assignment.utf8.count))
            bytes.append(contentsOf: assignment.utf8)
        }
        let status = bytes.withUnsafeMutableBytes { room -> Int32 in
            guard let base = room.baseAddress else { return 0 }
            let vectors = ranges.map { iovec(iov_base: base + $0.start, iov_len: $0.count) }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
        // Without a journal the line must not get lost.
        if status < 0 { StandardErrorSink(prefixed: true).write(line) }
    }

    /// `KEY=value`, as sd_journal_sendv(3) takes them. Values may hold any bytes.
    static func assignments(_ line: LogLine) -> [String] {
        let fields = line.fields.map { " \($0.key)=\($0.value)" }.joined()
        return [
            "MESSAGE=\(line.label): \(line.message)\(fields)", "PRIORITY=\(line.level.priority)", "SYSLOG_IDENTIFIER=relayd",
            "RELAYD_LOGGER=\(line.label)",
        ] + line.fields.map { "RELAYD_\(fieldName($0.key))=\($0.value)" }
    }

    /// systemd.journal-fields(7): capitals, digits and underscores.
    private static func fieldName(_ key: String) -> String {
        String(key.uppercased().map { ($0.isASCII && ($0.isLetter || $0.isNumber)) ? $0 : "_" }.prefix(50))
    }
}
