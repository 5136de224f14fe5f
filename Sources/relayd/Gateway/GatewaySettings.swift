import RelayListening
import RelayMetrics
import RelayModel
import RelayTLS

/// The gateway's settings; the configuration fills them in. The times have their reasons in ``Limits``; tests shorten them.
package struct GatewaySettings: Sendable {
    package var host: String
    /// 0: the system chooses one.
    package var port: Int
    /// Listen on this Unix socket instead, which every user of the host may connect to.
    package var unixPath: String?
    /// Listens already at that address; nil: the gateway listens by itself.
    package var inherited: Int32?
    /// Nil: connections are not encrypted.
    package var tls: TLSServer?
    package var tlsHandshakeTimeout = Limits.tlsHandshakeTimeout
    /// Who says whose connections it forwards.
    package var proxies = TrustedProxies()
    package var proxyHeaderTimeout = Limits.proxyHeaderTimeout
    /// Ciphertext of one message.
    package var maxBodyBytes = Limits.bodyBytes
    package var devicesPerUser = Limits.devicesPerUser
    /// The relay's version, for `GET /v1/info`.
    package var version: String
    /// Where clients reach the relay; shown to people who open an invite in a browser.
    package var publicURL: String

    /// Client connections of every kind; further ones wait in the kernel until one ends.
    package var connections = Int.max
    /// Those that are not WebSockets; further ones are closed at once.
    package var httpConnections = Limits.httpConnections
    package var requestHeadTimeout = Limits.requestHeadTimeout
    package var requestBodyTimeout = Limits.requestBodyTimeout
    package var idleHTTPTimeout = Limits.idleHTTPTimeout
    package var pingInterval = Limits.webSocketPingInterval
    package var closeTimeout = Limits.webSocketCloseTimeout
    /// Compared with the expiry of tokens.
    package var clock: any WallClock = SystemWallClock()
    package var rates = RateLimits()
    /// Measures rates.
    package var monotonicClock: any MonotonicClock = SystemMonotonicClock()
    /// Hears of users who send more than a person does.
    package var alerts: (any AlertSink)?
    /// Where requests, sign-ins and refusals are counted.
    package var metrics = Metrics()

    package init(host: String, port: Int, version: String, publicURL: String) {
        self.host = host
        self.port = port
        self.version = version
        self.publicURL = publicURL
    }

    var place: ListeningPlace {
        inherited.map(ListeningPlace.inherited) ?? unixPath.map(ListeningPlace.unixSocket) ?? .address(host: host, port: port)
    }

    /// Encoded size of the largest send: its body, its keys, and room for what protobuf writes around them.
    var maxSendBytes: Int { maxBodyBytes + Limits.keyRoomBytes + 1024 }
    /// The same in JSON, where bytes are base64, every key has field names, and identifiers are decimal strings.
    var maxJSONSendBytes: Int { maxBodyBytes * 4 / 3 + Limits.keyRoomBytes * 3 + 1024 }
}
