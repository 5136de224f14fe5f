import Glibc
import NIOCore
import RelayControlServer
import RelayGateway
import ServiceLifecycle

// The control server knows nothing of the service group; here it becomes a part of it.
extension ControlServer: Service {}

/// The gateway with an error that says where it could not listen.
struct Listener: Service {
    struct Failed: Error, CustomStringConvertible {
        var description: String
    }

    var gateway: Gateway
    var address: ListenAddress

    func run() async throws {
        do {
            try await gateway.run()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw Failed(description: "another program listens on \(address) already; `ss -ltnp` shows which")
        } catch let error as IOError {
            throw Failed(description: "\(address) cannot be listened on: \(String(cString: strerror(error.errnoCode)))")
        }
    }
}
