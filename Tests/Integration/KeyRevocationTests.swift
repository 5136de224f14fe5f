import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

/// What an operator does about a device's keys, and what the device and those who write to it see of it.
@Suite("Operators and keys") struct KeyRevocationTests {
    private struct Bundle: Decodable {
        struct Device: Decodable {
            struct Keys: Decodable {
                struct Prekey: Decodable { var id: String }
                var signedPrekey: Prekey?
                var lastResortPrekey: Prekey?
                var oneTimePrekeys: [Prekey]?
            }
            var keys: Keys
        }
        var devices: [Device]
    }

    private func prekeys(of target: WireDevice, for device: WireDevice) throws -> Bundle.Device.Keys {
        let reply = try RawConnection(port: device.port).json("POST", "/v1/users/\(target.user)/prekeys", "{}", headers: device.authorization)
        guard reply.status == 200 else { throw SupportFailure("\(reply.status): \(reply.text)") }
        let bundle = try JSONDecoder().decode(Bundle.self, from: Data(reply.body))
        return try #require(bundle.devices.first).keys
    }

    @Test(.timeLimit(.minutes(10))) func prekeysAreTakenAwayAtOnce() async throws {
        let relay = try RelayProcess()
        try await relay.start()
        let chatctl = relay.chatctl
        let port = relay.port
        let codes = [try await chatctl.addUser("alice").invite.code, try await chatctl.addUser("bob").invite.code]
        let (alice, bob) = try await blocking { (try WireDevice(port: port, code: codes[0]), try WireDevice(port: port, code: codes[1])) }
        let number = bob.id
        // There is nothing yet.
        let nothing = try await chatctl.run("key", "revoke", number, "--yes")
        #expect(nothing.status == .exited(1) && nothing.standardError.contains("chatctl key show \(number)"), "\(nothing)")
        let (aliceConnection, bobConnection) = try await blocking {
            try KeyUploads.upload(bob, signed: 1, lastResort: 1, oneTime: 1...12)
            // Who has a chat with bob hears of his keys.
            let opened = try RawConnection(port: port).json("POST", "/v1/chats", #"{"userId": "\#(bob.user)"}"#, headers: alice.authorization)
            guard opened.status == 200 || opened.status == 201 else { throw SupportFailure("\(opened.status): \(opened.text)") }
            return (try alice.connect(), try bob.connect())
        }
        let before = try await blocking { try prekeys(of: bob, for: alice) }
        #expect(before.signedPrekey?.id == "1" && before.oneTimePrekeys?.map(\.id) == ["1"])

        for (arguments, status, words) in [
            ([number], ExitStatus.exited(64), "--yes"), ([number, "--kind", "agreement", "--yes"], .exited(64), "chatctl device revoke \(number)"),
            (["5", "--yes"], .exited(1), "chatctl device list"), (["five", "--yes"], .exited(64), "five"),
            ([number, "--kind", "none", "--yes"], .exited(64), "none"),
        ] {
            let result = try await chatctl.run(["key", "revoke"] + arguments)
            #expect(result.status == status && result.standardError.contains(words), "\(arguments): \(result)")
        }
        let dry = try await chatctl.run("key", "revoke", number, "--dry-run")
        #expect(
            dry.standardOutput == "Would take away from device \(number) of bob: the signed prekey, the last-resort prekey, 11 one-time prekeys.\n",
            "\(dry)")
        let unchanged = try await chatctl.json(["key", "show", number], as: KeyRecord.self).prekeys
        #expect(unchanged?.oneTimePrekeys == 11 && unchanged?.signedPrekey == 1 && unchanged?.signedPrekeySince != nil)

        let oneTime: KeyRevoke.Reply = try await chatctl.json(["key", "revoke", number, "--kind", "one-time", "--yes", "--reason", "leaked"])
        #expect(oneTime.oneTimePrekeys == 11 && !oneTime.signedPrekey && !oneTime.lastResortPrekey)
        let rest: KeyRevoke.Reply = try await chatctl.json(["key", "revoke", number, "--yes"])
        #expect(rest.oneTimePrekeys == 0 && rest.signedPrekey && rest.lastResortPrekey)
        try await blocking {
            // The device hears what it has to upload; the other one what it must not use.
            #expect(try bobConnection.readText(containing: "keyChange").contains("ONE_TIME_PREKEYS"))
            let own = try bobConnection.readText(containing: "keyChange")
            #expect(own.contains("SIGNED_PREKEY") && own.contains("LAST_RESORT_PREKEY") && !own.contains("signedPrekey"))
            let others = try aliceConnection.readText(containing: "keyChange")
            #expect(others.contains("SIGNED_PREKEY") && !others.contains("ONE_TIME_PREKEYS") && !others.contains("signedPrekey"), "\(others)")
            let after = try prekeys(of: bob, for: alice)
            #expect(after.signedPrekey == nil && after.lastResortPrekey == nil && after.oneTimePrekeys == nil)
            #expect(throws: SupportFailure.self) { try KeyUploads.upload(bob, signed: 1) }
            try KeyUploads.upload(bob, signed: 2, lastResort: 2, oneTime: 13...20)
            #expect(try prekeys(of: bob, for: alice).signedPrekey?.id == "2")
        }

        // Seven are left of those that it ever had.
        let low = try await chatctl.json(["key", "list", "--low"], as: KeyList.Reply.self)
        #expect(low.keys.map(\.device.description) == [number] && low.keys.first?.prekeys?.oneTimePrekeys == 7 && low.next == nil)
        #expect(try await chatctl.run("key", "list", "--low", "--user", "alice").standardError == "No device runs out of one-time prekeys.\n")
        #expect(try await chatctl.run("key", "list", "--low", "--limit", "0").status == .exited(64))

        // Replaced keys: of the agreement key, and with --all of prekeys.
        let early = try await chatctl.run("key", "expire", number, "--yes")
        #expect(early.status == .exited(1) && early.standardError.contains("chatctl key show"), "\(early)")
        try await blocking { try KeyUploads.upload(bob, agreement: true, signed: 3) }
        let replaced = try await chatctl.json(["key", "show", number], as: KeyRecord.self).prekeys
        #expect(replaced?.agreementVersion == 2 && replaced?.agreementSince != nil && replaced?.replaced.map(\.kind) == [.agreement, .signed])
        let question = try await chatctl.run("key", "expire", number, "--dry-run", "--all")
        #expect(question.standardOutput == "2 replaced keys of device \(number) of bob would not be valid any more.\n", "\(question)")
        #expect(try await chatctl.json(["key", "expire", number, "--yes", "--reason", "sold"], as: KeyExpire.Reply.self).expired == 1)
        #expect(try await chatctl.json(["key", "expire", number, "--yes", "--all"], as: KeyExpire.Reply.self).expired == 1)
        #expect(try await chatctl.json(["key", "show", number], as: KeyRecord.self).prekeys?.replaced == [])

        let audit = try await chatctl.json(["audit", "list"], as: AuditList.Reply.self).entries
            .filter { $0.operation.hasPrefix("key/") && $0.result == "done" }
        #expect(audit.map(\.operation) == ["key/expire", "key/expire", "key/revoke", "key/revoke"] && audit.allSatisfy { $0.subject == number })
        #expect(audit.map(\.reason) == [nil, "sold", nil, "leaked"])
        let shown = try await chatctl.run("key", "audit")
        #expect(shown.succeeded && shown.standardOutput.contains("leaked") && !shown.standardOutput.contains("user/add"), "\(shown)")
        #expect(try await chatctl.run("device", "revoke", number, "--yes").succeeded)
        let gone = try await chatctl.run("key", "revoke", number, "--yes")
        #expect(gone.status == .exited(1) && gone.standardError.contains("there is no device"), "\(gone)")
        #expect(try await chatctl.json(["key", "show", number], as: KeyRecord.self).prekeys == nil)
        await relay.terminate()
    }
}
