import NIOCore
import RelayModel

/// The header with which a proxy says whose connection it forwards: version 2 of the PROXY protocol
/// (<https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>). Pure.
package struct ProxyHeader {
    package enum Malformed: Error, Equatable, CustomStringConvertible {
        case noSignature
        case version
        case command
        /// Neither a stream over TCP or a Unix socket, nor unspecified.
        case family
        case length
        case tooLong

        package var description: String {
            switch self {
            case .noSignature: "the connection does not begin with a header of the PROXY protocol, version 2"
            case .version: "the header is not of version 2 of the PROXY protocol"
            case .command: "the header has an unknown command"
            case .family: "the header is not about a stream"
            case .length: "the header is too short for its address"
            case .tooLong: "the header has more than \(Limits.proxyHeaderBytes) bytes"
            }
        }
    }

    /// Whose connection it is; nil for the proxy's own (a check of its), and for what has no address.
    package var address: SocketAddress?

    package static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Takes the header off the front; nil, and nothing taken, when more must come first.
    package init?(_ bytes: inout ByteBuffer) throws(Malformed) {
        // Judged as early as possible: what is no header at all is not waited for.
        let view = bytes.readableBytesView
        guard view.prefix(Self.signature.count).elementsEqual(Self.signature.prefix(view.count)) else { throw .noSignature }
        let start = bytes.readerIndex + Self.signature.count
        guard let command = bytes.getInteger(at: start, as: UInt8.self), let family = bytes.getInteger(at: start + 1, as: UInt8.self),
            let length = bytes.getInteger(at: start + 2, as: UInt16.self)
        else { return nil }
        guard command >> 4 == 2 else { throw .version }
        guard command & 0x0F <= 1 else { throw .command }
        let whole = Self.signature.count + 4 + Int(length)
        guard whole <= Limits.proxyHeaderBytes else { throw .tooLong }
        guard bytes.readableBytes >= whole else { return nil }
        let at = start + 4
        // 0: of its own accord. What it says of addresses must be ignored then.
        if command & 0x0F == 1 { address = try Self.address(family, Int(length), at, bytes) }
        bytes.moveReaderIndex(forwardBy: whole)
    }

    private static func address(_ family: UInt8, _ length: Int, _ at: Int, _ bytes: ByteBuffer) throws(Malformed) -> SocketAddress? {
        let size: Int
        switch family {
        case 0x00: return nil
        case 0x11: size = 4
        case 0x21: size = 16
        case 0x31:
            guard length >= 216 else { throw .length }
            return nil
        default: throw .family
        }
        // Both addresses, both ports; what follows (TLVs) is of no interest.
        guard length >= 2 * size + 4, let source = bytes.getSlice(at: at, length: size),
            let port = bytes.getInteger(at: at + 2 * size, as: UInt16.self),
            let address = try? SocketAddress(packedIPAddress: source, port: Int(port))
        else { throw .length }
        return address
    }
}
