import CSystemd
import Glibc

/// The listening sockets that systemd opened for relayd and handed over (sd_listen_fds(3)): one for devices, one for operators, either, both or
/// none.
struct InheritedSockets: Sendable, Equatable {
    /// What `FileDescriptorName=` in a socket unit says.
    enum Name: String, CaseIterable, Sendable { case clients, control }

    struct Clients: Sendable, Equatable {
        var descriptor: Int32
        var address: ListenAddress
    }

    struct Control: Sendable, Equatable {
        var descriptor: Int32
        var path: String
    }

    struct Problem: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    var clients: Clients?
    var control: Control?

    /// Takes them out of the environment, so that no other program can; they are closed when relayd starts one. To be called once.
    static func take() throws(Problem) -> InheritedSockets {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        guard count >= 0 else { throw Problem(description: "systemd's sockets cannot be taken: \(String(cString: strerror(-count)))") }
        var listed: [(name: String, descriptor: Int32)] = []
        // SD_LISTEN_FDS_START, a macro that Swift does not see as a number everywhere.
        for index in 0..<count {
            let name = names?[Int(index)]
            listed.append((name.map { String(cString: $0) } ?? "", 3 + index))
            free(name)
        }
        free(names)
        return try InheritedSockets(listed)
    }

    init() {}

    init(_ listed: [(name: String, descriptor: Int32)]) throws(Problem) {
        for (name, descriptor) in listed {
            guard let known = Name(rawValue: name) else {
                throw Problem(
                    description: "systemd hands over a socket named \(name): FileDescriptorName= in its unit must be clients or control")
            }
            guard sd_is_socket(descriptor, AF_UNSPEC, Int32(SOCK_STREAM.rawValue), 1) > 0 else {
                throw Problem(description: "the socket \(name) that systemd hands over does not listen: its unit needs ListenStream= and Accept=no")
            }
            switch known {
            case .clients:
                guard clients == nil else { throw Self.twice(known) }
                guard let address = SocketName.address(of: descriptor) else {
                    throw Problem(description: "the socket clients that systemd hands over has no TCP address")
                }
                clients = Clients(descriptor: descriptor, address: address)
            case .control:
                guard control == nil else { throw Self.twice(known) }
                guard let path = SocketName.path(of: descriptor) else {
                    throw Problem(description: "the socket control that systemd hands over is no Unix socket with a path")
                }
                control = Control(descriptor: descriptor, path: path)
            }
        }
    }

    private static func twice(_ name: Name) -> Problem {
        Problem(description: "systemd hands over two sockets named \(name.rawValue): there can be one; [::] takes IPv4 as well")
    }
}

/// What a socket is bound to.
private enum SocketName {
    /// Nil when it is no TCP socket.
    static func address(of descriptor: Int32) -> ListenAddress? {
        name(of: descriptor) { storage, _ in
            switch Int32(storage.pointee.ss_family) {
            case AF_INET:
                storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    text(AF_INET, &$0.pointee.sin_addr).map { [port = $0.pointee.sin_port] in
                        ListenAddress(host: $0, port: Int(UInt16(bigEndian: port)))
                    }
                }
            case AF_INET6:
                storage.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                    text(AF_INET6, &$0.pointee.sin6_addr).map { [port = $0.pointee.sin6_port] in
                        ListenAddress(host: $0, port: Int(UInt16(bigEndian: port)))
                    }
                }
            default: nil
            }
        }
    }

    /// Nil when it is no Unix socket, or one without a file.
    static func path(of descriptor: Int32) -> String? {
        name(of: descriptor) { storage, length in
            guard Int32(storage.pointee.ss_family) == AF_UNIX else { return nil }
            let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
            let bytes = UnsafeRawBufferPointer(start: storage, count: Int(length)).dropFirst(start).prefix { $0 != 0 }
            return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
        }
    }

    private static func name<Found>(of descriptor: Int32, _ body: (UnsafeMutablePointer<sockaddr_storage>, socklen_t) -> Found?) -> Found? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            let known = storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
            return known == 0 ? body(storage, length) : nil
        }
    }

    private static func text(_ family: Int32, _ address: UnsafeRawPointer) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { room in
            guard let start = room.baseAddress, inet_ntop(family, address, start, socklen_t(room.count)) != nil else { return nil }
            return String(cString: start)
        }
    }
}

extension Daemon {
    /// Listens on the sockets that systemd handed over, where it did; the configuration's keys for those places do not count then, its rules do.
    mutating func use(_ sockets: InheritedSockets) throws(InheritedSockets.Problem) {
        self.sockets = sockets
        if let clients = sockets.clients {
            configuration.listenAddress = clients.address
            guard clients.address.isLoopback || configuration.speaksTLS || configuration.allowPlaintext else {
                throw InheritedSockets.Problem(
                    description:
                        "the socket clients that systemd hands over listens on \(clients.address), where other hosts can connect, without TLS: "
                        + "see tls.certificate and listen.allow_plaintext in relayd.toml(5)")
            }
        }
        if let control = sockets.control { configuration.controlSocket = control.path }
    }
}
