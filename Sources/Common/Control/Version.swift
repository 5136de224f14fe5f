/// The version of relayd and chatctl, which are released together.
package let relayVersion = "0.1.0"

/// Where the daemon listens for operators unless told otherwise.
package let defaultControlSocket = "/run/relayd/control.sock"
