import NIOCore
import RelayGateway
import RelayModel

/// The header of the PROXY protocol as the gateway reads it, against a second reading of the specification.
struct ProxyHeaderTarget: FuzzTarget {
    static let name = "proxy-header"

    /// What is to become of a connection that begins with these bytes.
    private enum Verdict: Equatable, CustomStringConvertible {
        case waits, refused
        /// So many bytes are the header; the address in numbers, with its port.
        case taken(bytes: Int, address: String?)

        var description: String {
            switch self {
            case .waits: "waits"
            case .refused: "refused"
            case .taken(let bytes, let address): "\(bytes) bytes, \(address ?? "no address")"
            }
        }
    }

    func run(_ input: [UInt8]) throws {
        let expected = Self.reference(input)
        let found = Self.verdict(input)
        guard found == expected else { throw Finding("the header is read as “\(found)”, the reference says “\(expected)”") }
        // However it arrives, the outcome is the same.
        for end in 0...min(input.count, Limits.proxyHeaderBytes + 1) {
            let early = Self.verdict(Array(input[..<end]))
            if early == .waits { continue }
            guard early == expected else { throw Finding("after \(end) bytes it is “\(early)”, of all of them “\(expected)”") }
            return
        }
        guard expected == .waits || input.count > Limits.proxyHeaderBytes else { throw Finding("it waits for more than all bytes") }
    }

    private static func verdict(_ input: [UInt8]) -> Verdict {
        var bytes = ByteBuffer(bytes: input)
        do {
            guard let header = try ProxyHeader(&bytes) else { return bytes.readableBytes == input.count ? .waits : .refused }
            let address = header.address.map { "\($0.ipAddress ?? "?") \($0.port ?? -1)" }
            return .taken(bytes: input.count - bytes.readableBytes, address: address)
        } catch {
            return .refused
        }
    }

    /// Section 2.2 of the specification, read straight down.
    private static func reference(_ input: [UInt8]) -> Verdict {
        let signature = [UInt8]("\r\n\r\n\0\r\nQUIT\n".utf8)
        for (index, byte) in signature.enumerated() {
            guard index < input.count else { return .waits }
            guard input[index] == byte else { return .refused }
        }
        guard input.count >= 16 else { return .waits }
        let length = Int(input[14]) << 8 | Int(input[15])
        guard [0x20, 0x21].contains(input[12]), 16 + length <= Limits.proxyHeaderBytes else { return .refused }
        guard input.count >= 16 + length else { return .waits }
        let body = input[16..<(16 + length)]
        if input[12] == 0x20 || input[13] == 0x00 { return .taken(bytes: 16 + length, address: nil) }
        switch input[13] {
        case 0x11 where length >= 12:
            let host = body.prefix(4).map(String.init).joined(separator: ".")
            return .taken(bytes: 16 + length, address: "\(host) \(Int(body[24]) << 8 | Int(body[25]))")
        case 0x21 where length >= 36:
            var bytes = ByteBuffer(bytes: body.prefix(16))
            guard let host = bytes.readSlice(length: 16), let address = try? SocketAddress(packedIPAddress: host, port: 0) else { return .refused }
            return .taken(bytes: 16 + length, address: "\(address.ipAddress ?? "?") \(Int(body[48]) << 8 | Int(body[49]))")
        case 0x31 where length >= 216: return .taken(bytes: 16 + length, address: nil)
        default: return .refused
        }
    }

    func corpus() -> [(name: String, bytes: [UInt8])] {
        func header(_ command: UInt8, _ family: UInt8, _ body: [UInt8]) -> [UInt8] {
            ProxyHeader.signature + [command, family, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
        }
        let request = Array("GET / HTTP/1.1\r\n".utf8)
        return [
            ("ipv4", header(0x21, 0x11, [192, 0, 2, 1, 192, 0, 2, 2, 0x1F, 0x90, 0x01, 0xBB]) + request),
            ("ipv6", header(0x21, 0x21, (0..<32).map { UInt8($0) } + [0x1F, 0x90, 0x01, 0xBB])),
            ("ipv4-with-tlv", header(0x21, 0x11, [10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 187, 0x04, 0, 3, 1, 2, 3]) + request),
            ("unix", header(0x21, 0x31, [UInt8](repeating: 7, count: 216))),
            ("local", header(0x20, 0x00, []) + request),
            ("too-short", header(0x21, 0x21, [1, 2, 3])),
            ("version-1", Array("PROXY TCP4 192.0.2.1 192.0.2.2 8080 443\r\n".utf8)),
        ]
    }
}
