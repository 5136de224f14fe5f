import Glibc
import NIOCore
import RelayControlServer
import RelayDirectory
import RelayGateway
import RelayPresence
import RelayTelemetry
import ServiceLifecycle

// The control server knows nothing of the service group; here it becomes a part of it.
extension ControlServer: Service {}

/// Erases the users whose time of grace is over.
struct Erasures: Service {
    var directory: Directory

    func run() async { await cancelWhenGracefulShutdown { [directory] in await directory.runErasures() } }
}

/// Watches for what operators should know, and hands it over.
struct AlertWatch: Service {
    var alerts: Alerts

    func run() async { await cancelWhenGracefulShutdown { [alerts] in await alerts.run() } }
}

/// Tells who is there.
struct PresenceService: Service {
    var presence: Presence

    func run() async { await cancelWhenGracefulShutdown { [presence] in await presence.run() } }
}

/// The gateway with an error that says where it could not listen.
struct Listener: Service {
    struct Failed: Error, CustomStringConvertible {
        var description: String
    }

    var gateway: Gateway
    var address: ListenAddress

    /// The system's words, or what the unit's walls mean by them.
    static func reason(_ error: IOError) -> String {
        error.errnoCode == EAFNOSUPPORT
            ? "the unit's RestrictAddressFamilies= does not let relayd open it; relayd(8), HARDENING, says what to relax"
            : String(cString: strerror(error.errnoCode))
    }

    func run() async throws {
        do {
            try await gateway.run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw Failed(description: "another program listens on \(address) already; `ss -ltnp` shows which")
        } catch let error as IOError {
            throw Failed(description: "\(address) cannot be listened on: \(Self.reason(error))")
        }
    }
}
