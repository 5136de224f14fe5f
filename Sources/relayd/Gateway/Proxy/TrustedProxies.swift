import NIOCore
import RelayModel

/// From where connections are those of a proxy, which begin with a ``ProxyHeader``.
package struct TrustedProxies: Sendable, Equatable {
    private struct Network: Sendable, Equatable {
        /// IPv4 as ::ffff:0:0/96.
        var bytes: [UInt8]
        var bits: Int
    }

    private var networks: [Network] = []
    private var trustsUnixSockets = false

    /// Nobody.
    package init() {}

    /// Reads addresses, networks (`10.0.0.0/8`, `2001:db8::/32`) and the word `unix`, separated by commas or spaces; nil for anything else.
    package init?(_ text: String) {
        for part in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
            if part == "unix" {
                trustsUnixSockets = true
                continue
            }
            let pieces = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let (bytes, width) = Self.bytes(pieces[0]) else { return nil }
            var bits = width
            if pieces.count == 2 {
                guard let given = Int(pieces[1]), (0...width).contains(given), pieces[1].utf8.allSatisfy({ (48...57).contains($0) }) else {
                    return nil
                }
                bits = given
            }
            networks.append(Network(bytes: bytes, bits: bits + 128 - width))
        }
        guard networks.count <= Limits.proxyNetworks else { return nil }
    }

    package var isEmpty: Bool { networks.isEmpty && !trustsUnixSockets }

    /// - Parameter address: the peer of a connection.
    package func trusts(_ address: SocketAddress?) -> Bool {
        switch address {
        case .unixDomainSocket, nil: return trustsUnixSockets
        case .v4, .v6:
            // Nearly everywhere.
            guard !networks.isEmpty, let address else { return false }
            return contains(Self.packed(address))
        }
    }

    private func contains(_ address: [UInt8]) -> Bool {
        networks.contains { network in
            let whole = network.bits / 8
            guard address[..<whole] == network.bytes[..<whole] else { return false }
            let rest = network.bits % 8
            return rest == 0 || (address[whole] ^ network.bytes[whole]) >> (8 - rest) == 0
        }
    }

    private static let mapped: [UInt8] = Array(repeating: 0, count: 10) + [0xFF, 0xFF]

    /// Where struct sockaddr_in and sockaddr_in6 keep the address: ip(7), ipv6(7).
    private static func packed(_ address: SocketAddress) -> [UInt8] {
        switch address {
        case .v4(let address): mapped + withUnsafeBytes(of: address.address) { Array($0[4..<8]) }
        case .v6(let address): withUnsafeBytes(of: address.address) { Array($0[8..<24]) }
        case .unixDomainSocket: []
        }
    }

    private static func bytes(_ text: String) -> (bytes: [UInt8], width: Int)? {
        switch try? SocketAddress(ipAddress: text, port: 0) {
        case .v4(let address): (packed(.v4(address)), 32)
        case .v6(let address): (packed(.v6(address)), 128)
        case .unixDomainSocket, nil: nil
        }
    }
}
