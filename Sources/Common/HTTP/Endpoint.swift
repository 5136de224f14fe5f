import RelayTLS

/// Where an HTTP server listens.
package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// Plain TCP; `host` is a name or a numeric address without brackets.
    case tcp(host: String, port: Int)
    /// TLS over TCP; the certificate must be for `host` and signed by somebody whom `trust` names.
    case tls(host: String, port: Int, trust: TLSTrust)
    /// A Unix socket.
    case unix(path: String)

    /// Reads `http://host`, `http://host:port`, `http://[address]:port`, the same with `https`, `ws` and `wss`, and `unix:/path`.
    /// - Parameter trust: for `https` and `wss`.
    package init(url: String, trust: TLSTrust = .system) throws(EndpointError) {
        if let path = url.dropping(prefix: "unix:") {
            let path = path.hasPrefix("//") ? String(path.dropFirst(2)) : path
            guard path.hasPrefix("/"), path.utf8.count <= Endpoint.unixPathBytes else { throw .unixPath(path) }
            self = .unix(path: path)
            return
        }
        let secure = ["https://", "wss://"].lazy.compactMap { url.dropping(prefix: $0) }.first
        guard let rest = secure ?? ["http://", "ws://"].lazy.compactMap({ url.dropping(prefix: $0) }).first else { throw .scheme(url) }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard !authority.contains("@") else { throw .host(url) }
        let host: Substring
        let portText: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .host(url) }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw .host(url) }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            portText = authority[authority.index(after: colon)...]
        } else {
            host = authority
            portText = nil
        }
        guard !host.isEmpty else { throw .host(url) }
        var port = secure == nil ? 80 : 443
        if let portText {
            guard let given = Int(portText), given > 0, given < 65_536 else { throw .port(String(portText)) }
            port = given
        }
        self = secure == nil ? .tcp(host: String(host), port: port) : .tls(host: String(host), port: port, trust: trust)
    }

    /// `sun_path` has 108 bytes, the last one is zero.
    private static let unixPathBytes = 107

    /// The URL that `init(url:)` reads.
    package var description: String {
        switch self {
        case .tcp(let host, let port): "http://\(Endpoint.bracketed(host)):\(port)"
        case .tls(let host, let port, _): "https://\(Endpoint.bracketed(host)):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// The name or the address, without brackets; nil for a Unix socket.
    package var host: String? {
        switch self {
        case .tcp(let host, _), .tls(let host, _, _): host
        case .unix: nil
        }
    }

    /// The value of the `Host` header.
    package var hostHeader: String {
        switch self {
        case .tcp(let host, 80), .tls(let host, 443, _): Endpoint.bracketed(host)
        case .tcp(let host, let port), .tls(let host, let port, _): "\(Endpoint.bracketed(host)):\(port)"
        case .unix: "localhost"
        }
    }

    private static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }
}

/// Why a text is no ``Endpoint``.
package enum EndpointError: Error, Sendable, Equatable, CustomStringConvertible {
    case scheme(String)
    case host(String)
    case port(String)
    case unixPath(String)

    package var description: String {
        switch self {
        case .scheme(let url): "“\(url)” is not an address: it must begin with https://, http:// or unix:/"
        case .host(let url): "“\(url)” has no usable host: write https://host:port or https://[address]:port"
        case .port(let port): "“\(port)” is not a port: it must be a number from 1 to 65535"
        case .unixPath(let path): "“\(path)” is not a usable socket path: it must be absolute and at most 107 bytes long"
        }
    }
}

extension String {
    fileprivate func dropping(prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
