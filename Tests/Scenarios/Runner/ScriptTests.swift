import Testing

/// The language itself: what it understands, and where it points when it does not.
@Suite("Scenario language") struct ScriptTests {
    @Test func readsEverySentence() throws {
        let script = try Script(
            name: "all",
            text: """
                # a comment
                limit devices_per_user 2
                users alice, bob
                devices alice.phone, bob.phone   # another

                alice.phone sends "hello # not a comment" to bob
                alice.phone sends 100 messages to bob
                alice.phone fails to send "hello" to bob: recipient_gone
                bob.phone receives "hello" from alice
                bob.phone receives 100 messages from alice
                bob.phone has 101 messages in order without duplicates
                bob.phone has read all from alice
                alice.phone sees delivered
                alice.phone sees read
                bob.phone goes offline
                bob.phone comes online
                bob.phone restarts
                bob.phone is cut off: device_revoked
                bob.tablet enrols
                bob.tablet fails to enrol: device_limit
                bob.tablet fails to enrol with a used invite: invite_used
                alice.phone sends "hello" to group "team"
                alice.phone sends 100 messages to group "team"
                alice.phone fails to send "hello" to group "team": left_group
                bob.phone receives "hello" from alice in "team"
                bob.phone receives 100 messages from alice in "team"
                alice.phone creates group "team" with bob, carol
                alice.phone adds dave, erin to "team"
                alice.phone removes carol from "team"
                alice.phone leaves "team"
                alice.phone renames "team" to "the crew"
                alice.phone makes bob, carol admin of "team"
                bob.phone fails to add dave to "team": not_permitted
                bob.phone fails to make bob owner of "team": not_permitted
                bob.phone knows group "team"
                bob.phone sees members of "team": alice, bob
                bob.phone sees bob as owner of "team"
                bob.phone is out of "team"
                bob.phone sees no places missing
                alice.phone deletes "hello"
                alice.phone deletes "hello" for everyone
                bob.phone fails to delete "hello" for everyone: not_permitted
                bob.phone fails to delete "hello": chat_unknown
                bob.phone has lost "hello"
                bob.phone still has "hello"
                alice.phone learns "hello": 3 of 4 have it, 1 read it
                alice.phone learns "hello" is deleted
                contacts must ask
                blocks keep groups
                blocks are secret
                alice.phone requests bob
                alice.phone requests bob as "work"
                alice.phone labels bob "work"
                bob.phone accepts alice
                bob.phone ignores alice
                bob.phone blocks alice
                bob.phone unblocks alice
                bob.phone forgets alice
                bob.phone fails to accept alice: request_unknown
                bob.phone fails to forget alice: user_unknown
                alice.phone sees bob as blockedByThem
                alice.phone sees a conflict about bob: wants blockedByMe, relay has accepted
                alice.phone sees no conflict about bob
                alice.phone resolves bob as mine
                alice.phone resolves bob as relay
                alice.phone may not send "hello" to bob: you_block
                alice.phone gives up "hello": blocked
                bob.phone hides "hello"
                alice.phone stops enforcing blocks when sending
                alice.phone stops enforcing blocks when receiving
                relay is killed
                relay stops cleanly
                relay starts
                relay has alerted of blocked_sender
                operator runs "user add carol"
                operator runs "user add bob" / expects exit 1 and "already exists"
                operator runs "status" / expects exit 69
                operator revokes bob.phone
                operator removes bob
                """)
        #expect(script.lines.count == 77)
        #expect(script.lines.first?.number == 2)
        guard case .sends(let device, let text, .user(let user))? = script.lines.dropFirst(3).first?.sentence else {
            Issue.record("the fourth sentence is not a send")
            return
        }
        #expect(device == DeviceName(user: "alice", device: "phone") && text == "hello # not a comment" && user == "bob")
    }

    @Test(arguments: [
        ("alice.phone sends hello to bob", "a text in quotation marks is missing"),
        ("alice.phone sends \"hello to bob", "the closing quotation mark is missing"),
        ("alice.phone sends \"hello\"", "“to” is missing"),
        ("alice.phone sends \"hello\" to bob now", "“now” is left over"),
        ("alice.phone sends 3 letters to bob", "“messages” is missing before “letters to bob”"),
        ("alice.phone flies", "a device sends, receives"),
        ("alice sends \"hello\" to bob", "“alice” is neither a known word nor a device"),
        ("alice.phone adds dave", "a user or “to” is missing"),
        ("alice.phone makes bob of \"team\"", "a role is missing"),
        ("alice.phone creates group \"team\" with", "names are missing"),
        ("alice.phone fails to fly: never", "add, remove, leave, rename or make"),
        ("alice.phone sees bob as gone", "“gone” is no state of a contact"),
        ("alice.phone resolves bob as yours", "“relay” is missing before “yours”"),
        ("contacts ask", "“must” is missing before “ask”"),
        ("relay explodes", "a relay “is killed”"),
        ("operator runs \"x\" / expects exit one", "“one” is not a number"),
        ("users alice bob", "a comma is missing behind “alice”"),
        ("alice.phone sees colours", "a device sees “delivered” or “read”"),
    ])
    func pointsAtWhatItDoesNotUnderstand(line: String, reason: String) {
        do {
            _ = try Script(name: "wrong", text: "users alice\n\n\(line)\n")
            Issue.record("“\(line)” was understood")
        } catch {
            #expect("\(error)".hasPrefix("Tests/Scenarios/wrong.scn:3: "), "\(error)")
            #expect("\(error)".contains(reason), "\(error)")
        }
    }
}
