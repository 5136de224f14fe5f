import Logging
import RelayControl
import RelayGateway
import RelayModel
import RelayTelemetry

/// What an operator can decide. The initial values are the defaults; ``ConfigurationOption/all`` gives every one its key.
struct Configuration: Sendable, Equatable {
    var listenAddress = ListenAddress(host: "127.0.0.1", port: 8480)
    /// Empty: `http://` and the address.
    var publicURL = ""
    var allowPlaintext = false
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
    /// Nil: metrics are on the control socket only.
    var metricsAddress: ListenAddress?
    var people = PeopleSettings()
    var heartbeatSeconds = Int(Limits.presenceHeartbeat.components.seconds)
    var offlineAfterSeconds = Int(Limits.presenceOfflineAfter.components.seconds)
    var rates = RateLimits()
    var logLevel = Logger.Level.info
    var logDestination = LogDestination.auto

    /// What invite links begin with.
    var effectivePublicURL: String { publicURL.isEmpty ? "http://\(listenAddress)" : publicURL }

    /// The folder of backups.
    var effectiveBackups: String {
        backups.isEmpty ? storePath.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/backups" : backups
    }

    /// ``RateLimits/anomalyWindow`` as the file has it.
    var anomalySeconds: Int {
        get { Int(rates.anomalyWindow.components.seconds) }
        set { rates.anomalyWindow = .seconds(newValue) }
    }

    /// This host's name among others: the host and port of the public URL, which clients know anyway.
    var publicHost: String { String(effectivePublicURL.drop { $0 != "/" }.drop { $0 == "/" }) }
}

/// A TCP address: an IPv4 or IPv6 address, or `localhost`, with a port.
struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    var host: String
    /// 1 to 65535.
    var port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `127.0.0.1:8480`, `[::1]:8480`, `localhost:8480`; nil for anything else.
    init?(_ text: String) {
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

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Only this host can reach it.
    var isLoopback: Bool { host == "localhost" || host == "::1" || (IPAddress.isVersion4(host) && host.hasPrefix("127.")) }
}
