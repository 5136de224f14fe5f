import RelayCrypto
import RelayHTTP
import RelayTLS

/// What the person carries from the old device to the new one: `http://host:port/link#CODE`, or the code alone when the relay is known. The code
/// stands behind `#`, so that no server logs it.
package struct LinkAddress: Sendable, Equatable {
    /// The relay, without a path: `http://host:port`.
    package let relay: String
    package let endpoint: Endpoint
    /// Secret until the link is over.
    package let code: LinkHandshake.Code

    /// - Parameters:
    ///   - relay: where the code is good, when it stands alone.
    ///   - trust: whose certificates the relay may show.
    package init(_ text: String, relay: String? = nil, trust: TLSTrust = .system) throws(ClientError) {
        let typed: String
        if text.contains("#") || text.contains("/") {
            do throws(InviteLink.NotALink) { (self.relay, endpoint, typed) = try InviteLink.split(text, path: "/link", trust: trust) } catch {
                throw .linkCode(error.why)
            }
            if let relay, relay != self.relay { throw .linkCode("it is for \(self.relay), not for \(relay)") }
        } else {
            guard var relay else { throw .linkCode("the code stands alone, and no relay is named") }
            while relay.hasSuffix("/") { relay.removeLast() }
            do { endpoint = try Endpoint(url: relay, trust: trust) } catch { throw .linkCode(error.description) }
            (self.relay, typed) = (relay, text)
        }
        do throws(CryptoError) { code = try LinkHandshake.Code(typed) } catch {
            if case .malformed(let why) = error { throw .linkCode(why) }
            throw .linkCode(error.description)
        }
    }

    init(relay: String, endpoint: Endpoint, code: LinkHandshake.Code) {
        self.relay = relay
        self.endpoint = endpoint
        self.code = code
    }

    package var text: String { "\(relay)/link#\(code.text)" }
}
