import Logging
import RelayControl
import RelayGateway
import RelayModel
import RelayTLS
import RelayTelemetry

/// What an operator can decide. The initial values are the defaults; ``ConfigurationOption/all`` gives every one its key.
struct Configuration: Sendable, Equatable {
    var listenAddress = ListenAddress(host: "127.0.0.1", port: 8480)
    /// Empty: `http://` and the address.
    var publicURL = ""
    var allowPlaintext = false
    /// As the file has it; ``TrustedProxies`` reads it.
    var trustedProxies = ""
    /// Paths or names of credentials. Both are empty, or none.
    var tls = TLSIdentitySource(certificate: "", key: "")
    var controlSocket = defaultControlSocket
    var adminGroup = "relayd-admin"
    var viewGroup = "relayd-view"
    var storePath = "/var/lib/relayd/relay.db"
    var storeReaders = 2
    /// Empty: beside the store.
    var backups = ""
    var messageBytes = Limits.bodyBytes
    var devicesPerUser = Limits.devicesPerUser
    var pushMembers = Limits.chatMembers
    var inviteHours = Int(Limits.inviteLifetime.components.seconds / 3600)
    var tokenMinutes = Int(Limits.tokenLifetime.components.seconds / 60)
    var contacts = ContactPolicy()
    var erasureGrace = Grace(Limits.erasureGrace)
    var purgeHours = 6
    var alerts = AlertSettings()
    /// Where alerts go, as the file has it; empty: not there. The webhook goes before the command.
    var alertCommand = "" { didSet { alerts.target = alertTarget } }
    var alertWebhook = "" { didSet { alerts.target = alertTarget } }
    /// Nil: metrics are on the control socket only.
    var metricsAddress: ListenAddress?
    var people = PeopleSettings()
    var heartbeatSeconds = Int(Limits.presenceHeartbeat.components.seconds)
    var offlineAfterSeconds = Int(Limits.presenceOfflineAfter.components.seconds)
    var rates = RateLimits()
    var logLevel = Logger.Level.info
    var logDestination = LogDestination.auto

    /// Clients connect with TLS.
    var speaksTLS: Bool { !tls.certificate.isEmpty && !tls.key.isEmpty }

    /// Where relayd itself listens.
    var listenURL: String { listenAddress.unixPath != nil ? listenAddress.description : "\(speaksTLS ? "https" : "http")://\(listenAddress)" }

    /// What invite links begin with.
    var effectivePublicURL: String { publicURL.isEmpty ? listenURL : publicURL }

    /// The folder of backups.
    var effectiveBackups: String {
        backups.isEmpty ? storePath.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/backups" : backups
    }

    /// ``RateLimits/anomalyWindow`` as the file has it.
    var anomalySeconds: Int {
        get { Int(rates.anomalyWindow.components.seconds) }
        set { rates.anomalyWindow = .seconds(newValue) }
    }

    private var alertTarget: NoticeTarget? { NoticeTarget(webhook: alertWebhook) ?? (alertCommand.isEmpty ? nil : .command(alertCommand)) }

    /// This host's name among others: the host and port of the public URL, which clients know anyway.
    var publicHost: String { String(effectivePublicURL.drop { $0 != "/" }.drop { $0 == "/" }) }
}

/// A TCP address (an IPv4 or IPv6 address, or `localhost`, with a port) or a Unix socket.
struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    var host: String
    /// 1 to 65535.
    var port: Int
    /// When it is a Unix socket; host and port mean nothing then.
    var unixPath: String?

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `127.0.0.1:8480`, `[::1]:8480`, `localhost:8480`, `unix:/path`; nil for anything else.
    init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst("unix:".count))
            // sockaddr_un(7) has room for as many bytes.
            guard path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(where: { $0 < 32 }) else { return nil }
            self.init(host: "localhost", port: 0)
            unixPath = path
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard IPAddress.isVersion6(host) else { return nil }
        } else {
            guard host == "localhost" || IPAddress.isVersion4(host) else { return nil }
        }
        self.init(host: host, port: Int(port))
    }

    var description: String { unixPath.map { "unix:\($0)" } ?? tcp }
    private var tcp: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Only this host can reach it.
    var isLoopback: Bool { unixPath != nil || host == "localhost" || host == "::1" || (IPAddress.isVersion4(host) && host.hasPrefix("127.")) }
}
