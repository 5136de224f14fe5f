// It has timeval, too.
import CTimex
import Glibc
import RelayControl

/// Does relayd answer where clients connect? Of a stopped one: is the place free?
struct PortsCheck: HostCheck {
    let group = CheckGroup.host
    let name = "ports"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        if let status = situation.status {
            var places = status.listening
            if let metrics = situation.text("metrics.listen"), !metrics.isEmpty { places.append(metrics) }
            for place in places {
                guard let address = SocketAddressText(place) else { continue }
                switch address.connects() {
                case 0: found.good("somebody answers at \(place)")
                case let code:
                    found.fail(
                        "nobody answers at \(place): \(String(cString: strerror(code)))",
                        "journalctl -u relayd says why; a packet filter may be in the way")
                }
            }
            return
        }
        guard let place = situation.text("listen.address"), let address = SocketAddressText(place) else {
            return found.skip("the configuration is not known")
        }
        switch address.binds() {
        case 0: found.good("\(place) is free for relayd")
        case EADDRINUSE: found.fail("another program listens on \(place) already", "ss -ltnp shows which; stop it, or change listen.address")
        case EACCES: found.good("\(place) needs root")
        case let code:
            found.fail("\(place) cannot be listened on: \(String(cString: strerror(code)))", "change listen.address; ip address shows this host's")
        }
    }
}

/// A numeric address with a port, as configurations and replies have it.
struct SocketAddressText {
    private var storage: sockaddr_storage
    private var length: socklen_t
    private var family: Int32

    /// `127.0.0.1:8480`, `[::1]:8480`, `localhost:8480`, also behind a scheme.
    init?(_ text: String) {
        let place = text.firstRange(of: "://").map { text[$0.upperBound...] } ?? text[...]
        let authority = place.prefix { $0 != "/" }
        guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...]) else { return nil }
        let host = authority[..<colon].filter { $0 != "[" && $0 != "]" }
        storage = sockaddr_storage()
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            (family, length) = (AF_INET, socklen_t(MemoryLayout<sockaddr_in>.size))
            withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: four) { room.copyMemory(from: $0) } }
        } else if inet_pton(AF_INET6, host, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            (family, length) = (AF_INET6, socklen_t(MemoryLayout<sockaddr_in6>.size))
            withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: six) { room.copyMemory(from: $0) } }
        } else {
            return nil
        }
    }

    /// Connects and closes again; 0 or the error.
    func connects() -> Int32 { use { connect($0, $1, $2) } }

    /// Connects, and hands the socket to `body`; nil when nobody answers.
    func connected<Found>(_ body: (Int32) -> Found?) -> Found? {
        var found: Found?
        _ = use { file, address, length in
            guard connect(file, address, length) == 0 else { return -1 }
            found = body(file)
            return 0
        }
        return found
    }

    /// Whether it could be listened on; 0 or the error.
    func binds() -> Int32 {
        use { file, address, length in
            // As relayd does it: what is left of ended connections is not in the way.
            var on: Int32 = 1
            setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            return bind(file, address, length)
        }
    }

    private func use(_ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        let file = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { return errno }
        defer { close(file) }
        // A packet filter that drops everything must not hold a check up for minutes.
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        for option in [SO_SNDTIMEO, SO_RCVTIMEO] { setsockopt(file, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size)) }
        var storage = storage
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(file, $0, length) == 0 ? 0 : errno }
        }
    }
}
