import RelayClient
import RelayHTTP
import Testing

@Suite struct InviteLinkTests {
    @Test func reads() throws {
        let link = try InviteLink("http://127.0.0.1:8080/enrol#ABCD-1234")
        #expect(link.relay == "http://127.0.0.1:8080")
        #expect(link.endpoint == .tcp(host: "127.0.0.1", port: 8080))
        #expect(link.code == "ABCD-1234")
        #expect(try InviteLink("http://[::1]:80/enrol/#x").endpoint == .tcp(host: "::1", port: 80))
    }

    @Test(arguments: [
        "", "#", "http://host/enrol", "http://host/enrol#", "http://host/#code", "ftp://host/enrol#code", "http:///enrol#code", "http://h/enrol#a b",
    ])
    func refuses(text: String) {
        #expect {
            _ = try InviteLink(text)
        } throws: { error in
            if case ClientError.link = error { true } else { false }
        }
    }
}
