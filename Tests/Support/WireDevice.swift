import Foundation
import RelayCrypto
import RelayModel

/// A device that speaks the protocol by hand, in JSON, as relay-protocol(7) describes it: no code of the client library.
/// Blocks.
package struct WireDevice: Sendable {
    package let port: Int
    package let user: String
    package let id: String
    package let secrets: DeviceSecrets
    package private(set) var token: String

    package struct Enrolled: Decodable {
        package var userId: String
        package var deviceId: String
    }
    package struct Challenge: Decodable { package var challenge: Data }
    package struct Token: Decodable { package var token: String }

    /// Enrols with an invite code and signs in.
    package init(port: Int, code: String) throws { try self.init(port: port, code: code, over: RawConnection(port: port)) }

    /// The same over a connection that is kept for more.
    package init(port: Int, code: String, over connection: RawConnection) throws {
        self.port = port
        secrets = DeviceSecrets.generate(SystemEntropy())
        let reply = try connection.json("POST", "/v1/enrol", WireDevice.enrolment(code, secrets))
        guard reply.status == 200 || reply.status == 201 else { throw SupportFailure("enrolment was answered with \(reply.status): \(reply.text)") }
        let enrolled = try JSONDecoder().decode(Enrolled.self, from: Data(reply.body))
        user = enrolled.userId
        id = enrolled.deviceId
        token = ""
        try signIn(over: connection)
    }

    /// A device that the store knows already; signs in.
    package init(port: Int, user: UserID, device: DeviceID, secrets: DeviceSecrets) throws {
        self.port = port
        self.user = user.description
        self.id = device.description
        self.secrets = secrets
        token = ""
        try signIn()
    }

    package static func enrolment(_ code: String, _ secrets: DeviceSecrets, device: String = "test", signature: [UInt8]? = nil) -> String {
        let keys = secrets.publicKeys
        func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
        return """
            {"inviteCode": "\(code)", "deviceName": "\(device)", "keys": {"identityKey": "\(base64(keys.identityKey))", \
            "agreementKey": "\(base64(keys.agreementKey))", "agreementSignature": "\(base64(signature ?? keys.agreementSignature))"}}
            """
    }

    /// Gets a fresh token.
    package mutating func signIn() throws { try signIn(over: RawConnection(port: port)) }

    private mutating func signIn(over connection: RawConnection) throws {
        let asked = try connection.json("POST", "/v1/auth/challenge", "{\"deviceId\": \"\(id)\"}")
        let challenge = try JSONDecoder().decode(Challenge.self, from: Data(asked.body)).challenge
        let signature = secrets.sign(Signing.authenticationMessage(device: DeviceID(UInt64(id) ?? 0), challenge: Array(challenge)))
        let answer = """
            {"deviceId": "\(id)", "challenge": "\(challenge.base64EncodedString())", "signature": "\(Data(signature).base64EncodedString())"}
            """
        let reply = try connection.json("POST", "/v1/auth/token", answer)
        guard reply.status == 200 else { throw SupportFailure("signing in was answered with \(reply.status): \(reply.text)") }
        token = try JSONDecoder().decode(Token.self, from: Data(reply.body)).token
    }

    package var authorization: [String: String] { ["Authorization": "Bearer \(token)"] }

    /// An upgraded connection that speaks `relay.v1.json`, caught up.
    package func connect() throws -> RawConnection {
        let connection = try RawConnection(port: port)
        let reply = try connection.upgrade(token: token)
        guard reply.status == 101 else { throw SupportFailure("the upgrade was answered with \(reply.status): \(reply.text)") }
        _ = try connection.readText(containing: "caughtUp")
        return connection
    }
}

extension RawConnection {
    /// Sends one JSON frame.
    @discardableResult package func sendText(_ text: String) -> Bool { send(RawConnection.frame(opcode: 1, Array(text.utf8))) }

    /// Asks for a pong, and gets it: the connection is alive and in order.
    package func ping(_ number: Int = 1) throws {
        sendText("{\"requestId\": \"\(number)\", \"ping\": {}}")
        _ = try readText(containing: "pong")
    }
}
