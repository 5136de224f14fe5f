import RelayHTTP

/// An invite as a person gets it: `http://host:port/enrol#CODE`. The code stands behind `#`, so that no server logs it.
package struct InviteLink: Sendable, Equatable {
    /// The relay, without a path: `http://host:port`.
    package var relay: String
    package var endpoint: Endpoint
    /// Secret until it is used.
    package var code: String

    package init(_ text: String) throws(ClientError) {
        let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw .link("there is no “#” with the code behind it") }
        guard !parts[1].isEmpty, parts[1].utf8.count <= 256, parts[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw .link("the code behind “#” is not one")
        }
        var address = String(parts[0])
        while address.hasSuffix("/") { address.removeLast() }
        guard address.hasSuffix("/enrol") else { throw .link("the address does not end in /enrol") }
        address.removeLast("/enrol".count)
        do { endpoint = try Endpoint(url: address) } catch { throw .link(error.description) }
        relay = address
        code = String(parts[1])
    }
}
