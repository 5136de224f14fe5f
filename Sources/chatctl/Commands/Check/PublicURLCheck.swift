import RelayControl
import RelayHTTP

/// Can those who get an invite reach the relay, and nobody listen in?
struct PublicURLCheck: HostCheck {
    let group = CheckGroup.configuration
    let name = "public URL"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let configured = situation.text("listen.public_url"), let address = situation.text("listen.address") else {
            return found.skip("the configuration is not known")
        }
        let isLoopback = address.hasPrefix("127.") || address.hasPrefix("[::1]") || address.hasPrefix("localhost:")
        if configured.isEmpty, isLoopback {
            found.warn(
                "invite links begin with http://\(address), which only this host can open", "set listen.public_url to the address that clients use")
        } else if configured.isEmpty {
            found.warn("invite links begin with http://\(address)", "set listen.public_url to the address that clients use")
        } else if configured.hasPrefix("http://"), !Self.isLocal(configured) {
            found.warn("clients connect to \(configured) without TLS: their tokens cross the network in the clear", "use an https:// address")
        } else {
            found.good(configured)
        }
        if situation.flag("listen.allow_plaintext") == true, !isLoopback {
            found.warn("other hosts can connect to \(address) without TLS", "set listen.allow_plaintext = false, unless the network is trusted")
        }
    }

    private static func isLocal(_ url: String) -> Bool {
        guard let host = try? Endpoint(url: url).host else { return false }
        return host.hasPrefix("127.") || host == "::1" || host == "localhost"
    }
}
