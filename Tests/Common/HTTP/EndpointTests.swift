import RelayHTTP
import RelayTLS
import Testing

@Suite struct EndpointTests {
    @Test(arguments: [
        ("http://127.0.0.1:8080", Endpoint.tcp(host: "127.0.0.1", port: 8080)), ("http://relay.example", .tcp(host: "relay.example", port: 80)),
        ("https://relay.example", .tls(host: "relay.example", port: 443, trust: .system)),
        ("wss://[::1]:8443", .tls(host: "::1", port: 8443, trust: .system)), ("ws://relay.example:1", .tcp(host: "relay.example", port: 1)),
        ("http://[::1]:99/enrol", .tcp(host: "::1", port: 99)), ("unix:/run/relayd/control.sock", .unix(path: "/run/relayd/control.sock")),
        ("unix:///run/relayd/control.sock", .unix(path: "/run/relayd/control.sock")),
    ])
    func reads(url: String, expected: Endpoint) throws {
        #expect(try Endpoint(url: url) == expected)
        #expect(try Endpoint(url: expected.description) == expected)
    }

    @Test func knowsItsHost() throws {
        #expect(try Endpoint(url: "https://[::1]:8443").host == "::1" && Endpoint(url: "http://relay.example:1/x").host == "relay.example")
        #expect(try Endpoint(url: "unix:/run/relayd/control.sock").host == nil)
    }

    @Test(arguments: [
        "", "relay.example", "ftp://relay.example", "https://", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a:x", "http://[::1",
        "http://user@a", "unix:relative", "unix:/" + String(repeating: "a", count: 107),
    ])
    func refuses(url: String) {
        #expect(throws: EndpointError.self) { try Endpoint(url: url) }
    }

    /// The example of RFC 6455, section 1.3.
    @Test func acceptKey() {
        #expect(WebSocketAccept.key(for: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }
}
