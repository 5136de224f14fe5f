import RelayHTTP
import RelayTLS

/// An invite as a person gets it: `https://host:port/enrol#CODE`. The code stands behind `#`, so that no server logs it.
package struct InviteLink: Sendable, Equatable {
    /// The relay, without a path: `http://host:port`.
    package var relay: String
    package var endpoint: Endpoint
    /// Secret until it is used.
    package var code: String

    /// - Parameter trust: whose certificates the relay may show.
    package init(_ text: String, trust: TLSTrust = .system) throws(ClientError) {
        do throws(NotALink) { (relay, endpoint, code) = try InviteLink.split(text, path: "/enrol", trust: trust) } catch { throw .link(error.why) }
    }

    /// Why a text is no link.
    struct NotALink: Error {
        var why: String
    }

    /// `RELAY/path#CODE` in its parts.
    static func split(_ text: String, path: String, trust: TLSTrust) throws(NotALink) -> (relay: String, endpoint: Endpoint, code: String) {
        let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw NotALink(why: "there is no “#” with the code behind it") }
        guard !parts[1].isEmpty, parts[1].utf8.count <= 256, parts[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw NotALink(why: "the code behind “#” is not one")
        }
        var address = String(parts[0])
        while address.hasSuffix("/") { address.removeLast() }
        guard address.hasSuffix(path) else { throw NotALink(why: "the address does not end in \(path)") }
        address.removeLast(path.count)
        do { return (address, try Endpoint(url: address, trust: trust), String(parts[1])) } catch { throw NotALink(why: error.description) }
    }
}
