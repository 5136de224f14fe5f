import Glibc
import RelayModel
import RelaySQLite

/// Finds in text what the store knows: names and numbers of users, devices, chats, messages and invites; and addresses that are not the relay's.
///
/// The text is cut into words, and words that could be one of those are looked up in the store, so that the memory does not grow with the
/// number of users. Confined to one thread.
final class IdentityScan {
    /// Names shorter than this would be found in everything.
    static let fewest = 3
    /// Looked-up words that are remembered; then they are forgotten all at once.
    private static let remembered = 100_000
    /// A line's rest that is longer is cut.
    private static let lineBytes = 1 << 16

    private let names: Statement
    private let numbers: [(what: String, statement: Statement)]
    private let addresses: Set<String>
    private let hosts: Set<String>
    private let ignored: Set<String>
    private var known: [String: String?] = [:]

    private var held: [UInt8] = []
    private var line = 0

    /// - Parameters:
    ///   - addresses: `host:port` that may stand in the text.
    ///   - ignored: names that are words as well.
    init(_ database: Database, addresses: [String], ignored: [String]) throws(SQLiteError) {
        names = try database.prepare("SELECT 1 FROM users WHERE name = ?")
        var numbers: [(String, Statement)] = []
        for (what, table, column) in [
            ("a user's number", "users", "user_id"), ("a device's number", "devices", "device_id"), ("a chat's number", "chats", "chat_id"),
            ("a message's number", "messages", "message_id"), ("an invite's number", "invites", "invite_id"),
        ] {
            numbers.append((what, try database.prepare("SELECT 1 FROM \(table) WHERE \(column) = ?")))
        }
        self.numbers = numbers
        self.addresses = Set(addresses)
        hosts = Set(addresses.map { Self.host(of: $0) })
        self.ignored = Set(ignored.map { (try? UserName($0).text) ?? $0 })
    }

    /// Begins with another text.
    func begin() {
        held = []
        line = 0
    }

    /// - Parameter piece: an empty one ends the text.
    func take(_ piece: UnsafeRawBufferPointer, _ found: (_ line: Int, _ what: String) -> Void) throws(SQLiteError) {
        held += piece
        var start = held.startIndex
        while let end = held[start...].firstIndex(of: UInt8(ascii: "\n")) {
            line += 1
            try look(at: held[start..<end], line, found)
            start = end + 1
        }
        held.removeFirst(start)
        if piece.isEmpty || held.count > Self.lineBytes {
            if !held.isEmpty { try look(at: held[...], line + 1, found) }
            held = []
        }
    }

    private func look(at bytes: ArraySlice<UInt8>, _ line: Int, _ found: (Int, String) -> Void) throws(SQLiteError) {
        let text = String(decoding: bytes, as: UTF8.self)
        for word in text.split(whereSeparator: { !Self.belongsToWord($0) }) {
            if let what = try self.what(String(word)) { found(line, what) }
        }
        for run in text.split(whereSeparator: { !Self.belongsToAddress($0) }) where isForeignAddress(String(run)) { found(line, "an address") }
    }

    // MARK: Words

    private static func belongsToWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "." || character == "_" || character == "-"
    }

    /// Nil when the store does not know it.
    private func what(_ word: String) throws(SQLiteError) -> String? {
        guard word.utf8.count <= 256 else { return nil }
        if let known = known[word] { return known }
        if known.count >= Self.remembered { known = [:] }
        var result: String?
        var parts = [word]
        let split = word.split(whereSeparator: { ".-_".contains($0) }).map(String.init)
        if split.count > 1 { parts += split }
        for part in parts { if result == nil { result = try number(part) } }
        // Groups of digits with dashes between them, as people type codes.
        if result == nil, split.count > 1 { result = try number(split.joined()) }
        for part in parts { if result == nil, try isName(part) { result = "a user's name" } }
        known[word] = result
        return result
    }

    private func isName(_ word: String) throws(SQLiteError) -> Bool {
        let trimmed = String(word.drop { ".-".contains($0) }.reversed().drop { ".-".contains($0) }.reversed())
        guard trimmed.count >= Self.fewest, !trimmed.allSatisfy({ $0.isASCII && $0.isNumber }), let name = try? UserName(trimmed) else {
            return false
        }
        if ignored.contains(name.text) { return false }
        return try exists(names) { $0.bind(1, name.text) }
    }

    /// Decimal, hexadecimal or base 32.
    private func number(_ word: String) throws(SQLiteError) -> String? {
        for value in Self.values(of: word) {
            for (what, statement) in numbers { if try exists(statement, { $0.bind(1, value) }) { return what } }
        }
        return nil
    }

    /// Numbers that the relay hands out begin with the time: small ones are something else.
    static func values(of word: String) -> [UInt64] {
        guard word.utf8.allSatisfy({ $0 < 128 }), (10...20).contains(word.count) else { return [] }
        var values: [UInt64] = []
        if let decimal = UInt64(word) { values.append(decimal) }
        if let hexadecimal = UInt64(word, radix: 16) { values.append(hexadecimal) }
        if word.count == 13, let bytes = CrockfordBase32.decode(word, count: 8) { values.append(bytes.reduce(0) { $0 << 8 | UInt64($1) }) }
        return values.filter { $0 > 1 << 40 && $0 <= UInt64(Int64.max) }
    }

    private func exists(_ statement: Statement, _ bind: (Statement) -> Void) throws(SQLiteError) -> Bool {
        defer { statement.reset() }
        bind(statement)
        return try statement.step()
    }

    // MARK: Addresses

    private static func belongsToAddress(_ character: Character) -> Bool {
        character.isASCII && (character.isHexDigit || character == "." || character == ":")
    }

    private static func host(of address: String) -> String {
        let host = address.lastIndex(of: ":").map { String(address[..<$0]) } ?? address
        return String(host.drop { $0 == "[" }.prefix { $0 != "]" })
    }

    /// IPv4 and IPv6, with or without a port.
    func isForeignAddress(_ run: String) -> Bool {
        let trimmed = String(run.drop { $0 == "." }.reversed().drop { ".".contains($0) }.reversed())
        if Self.isAddress(trimmed, AF_INET) || (trimmed.count { $0 == ":" } >= 2 && Self.isAddress(trimmed, AF_INET6)) {
            // `::` is punctuation as well.
            return trimmed.contains { $0.isHexDigit } && !hosts.contains(trimmed)
        }
        guard let colon = trimmed.lastIndex(of: ":"), Self.isAddress(String(trimmed[..<colon]), AF_INET) else { return false }
        return !addresses.contains(trimmed)
    }

    private static func isAddress(_ text: String, _ family: Int32) -> Bool {
        var room = in6_addr()
        return inet_pton(family, text, &room) == 1
    }
}
