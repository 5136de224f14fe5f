import NIOCore

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets. IPv4 inside IPv6
/// (::ffff:0:0/96) is IPv4.
struct NetworkAddress: Hashable, Sendable {
    private enum Family { case version4, version6 }
    private let family: Family
    /// An IPv4 address, or the upper half of an IPv6 address.
    private let number: UInt64
    let isLoopback: Bool

    /// Nil for what has no address, such as a Unix socket.
    init?(_ address: SocketAddress?) {
        // Where struct sockaddr_in and sockaddr_in6 keep the address: ip(7), ipv6(7).
        switch address {
        case .v4(let address):
            self.init(version4: withUnsafeBytes(of: address.address) { UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) })
        case .v6(let address):
            let (high, low) = withUnsafeBytes(of: address.address) {
                (
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                )
            }
            if high == 0, low >> 32 == 0xFFFF {
                self.init(version4: UInt32(truncatingIfNeeded: low))
            } else {
                self.init(family: .version6, number: high, isLoopback: high == 0 && low == 1)
            }
        case .unixDomainSocket, nil: return nil
        }
    }

    private init(version4 address: UInt32) { self.init(family: .version4, number: UInt64(address), isLoopback: address >> 24 == 127) }

    private init(family: Family, number: UInt64, isLoopback: Bool) {
        self.family = family
        self.number = number
        self.isLoopback = isLoopback
    }
}
