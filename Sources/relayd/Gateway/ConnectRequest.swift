import NIOCore
import RelayDirectory
import RelayModel
import RelayTLS
import RelayWire

/// A checked request to `GET /v1/connect`.
struct ConnectRequest: Sendable {
    static let path = "/v1/connect"

    var principal: Principal
    /// The device has everything up to this mailbox sequence.
    var cursor: UInt64
    /// The device has all receipts up to this version.
    var receipts: UInt64
    /// The device has all changes of contacts up to this version.
    var contacts: UInt64
    var encoding: WireEncoding
    /// True when the client offered subprotocols, so that the answer must name the chosen one.
    var namesSubprotocol: Bool
    /// The value of `Sec-WebSocket-Accept`.
    var accept: String

    /// - Parameter header: all values of a header field, split at commas.
    init(uri: String, header: (String) -> [String], directory: Directory) throws(WireFailure) {
        guard header("upgrade").contains(where: { $0.lowercased() == "websocket" }),
            header("connection").contains(where: { $0.lowercased() == "upgrade" }),
            header("sec-websocket-version").contains("13"), let key = header("sec-websocket-key").first, key.utf8.count == 24
        else { throw WireFailure(.upgradeRequired, "this path speaks WebSocket only") }
        principal = try Authorization.principal(header("authorization"), directory)
        let query = QueryParameters(uri)
        cursor = try query.number("cursor") ?? 0
        receipts = try query.number("receipts") ?? 0
        contacts = try query.number("contacts") ?? 0
        let offered = header("sec-websocket-protocol")
        namesSubprotocol = !offered.isEmpty
        if offered.isEmpty {
            encoding = .proto
        } else {
            guard let chosen = offered.lazy.compactMap({ name in WireEncoding.all.first { $0.subprotocol == name } }).first else {
                throw .malformed("none of the offered subprotocols is known: offer relay.v1.proto or relay.v1.json")
            }
            encoding = chosen
        }
        accept = WebSocketAccept.key(for: key)
    }
}

enum Authorization {
    /// Who is behind `Authorization: Bearer TOKEN`. No I/O.
    static func principal(_ values: [String], _ directory: Directory) throws(WireFailure) -> Principal {
        guard values.count == 1, let value = values.first else { throw WireFailure(DirectoryError.unauthorized) }
        let parts = value.split(separator: " ")
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { throw WireFailure(DirectoryError.unauthorized) }
        do throws(DirectoryError) { return try directory.authenticate(bearer: String(parts[1])) } catch { throw WireFailure(error) }
    }
}

/// The query of a request target. Values here are numbers and names; the first of several counts.
struct QueryParameters {
    private var values: [(name: String, value: String)] = []

    init(_ uri: String) {
        guard let mark = uri.firstIndex(of: "?") else { return }
        for pair in uri[uri.index(after: mark)...].split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            values.append((QueryParameters.decode(parts[0]), parts.count == 2 ? QueryParameters.decode(parts[1]) : ""))
        }
    }

    func text(_ name: String) -> String? { values.first { $0.name == name }?.value }

    /// A decimal number of at most 63 bits; nil when it is not there.
    func number(_ name: String) throws(WireFailure) -> UInt64? {
        guard let text = text(name) else { return nil }
        guard let number = UInt64(text), number <= UInt64(Int64.max) else { throw .malformed("\(name) must be a decimal number of at most 63 bits") }
        return number
    }

    /// Percent-decoding; what is not valid stays as it is, and wrong UTF-8 becomes U+FFFD.
    private static func decode(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "+") {
                bytes.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"), rest.count >= 2, let high = hex(rest[rest.startIndex]), let low = hex(rest[rest.startIndex + 1]) {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
