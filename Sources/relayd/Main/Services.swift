import RelayControlServer
import ServiceLifecycle

// The servers know nothing of the service group; here they become parts of it.
extension ControlServer: Service {}
