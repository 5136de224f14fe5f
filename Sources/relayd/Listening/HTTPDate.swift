import Glibc
import Synchronization

/// The value of the Date header (RFC 9110, section 5.6.7), made once a second. Any thread.
final class HTTPDate: Sendable {
    private let last = Mutex((second: time_t(-1), text: ""))

    var now: String {
        let second = time(nil)
        return last.withLock { last in
            if last.second != second { last = (second, Self.text(second)) }
            return last.text
        }
    }

    /// In English, whatever the locale of the host: the programs never leave the C locale.
    static func text(_ second: time_t) -> String {
        var second = second
        var parts = tm()
        guard gmtime_r(&second, &parts) != nil else { return "Thu, 01 Jan 1970 00:00:00 GMT" }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { room in
            let count = strftime(room.baseAddress, room.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            return String(decoding: room.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
