import NIOCore
import NIOPosix
import RelayCrypto
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayTestSupport
import Testing

/// A block that takes a user out of more groups than one transaction may.
@Suite struct LargeBlockTests {
    @Test func aBlockOfManySharedGroupsIsOneEntryInTheAuditLog() async throws {
        let files = try TemporaryDirectory()
        let clock = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))
        let store = try Store(path: files.file("relay.db"), clock: clock, onFailure: { Issue.record("the store failed: \($0)") })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let sending = MessageSending(writer: store.writer, readers: store.readers, loops: Array(group.makeIterator()))
        let directory = try await Directory(
            writer: store.writer, readers: store.readers, clock: clock, entropy: SystemEntropy(), settings: DirectorySettings(publicURL: "http://x"),
            revocations: sending)
        func actor(_ operation: String, _ subject: String) -> Actor { Actor(uid: 0, operation: operation, subject: subject, reason: "test") }

        var enrolled: [Enrolled] = []
        for name in ["alice", "bob"] {
            let invite = try await directory.addUser(
                name: name, displayName: nil, avatar: nil, inviteLifetime: nil, actor: actor("user/add", name)
            ).invite
            let keys = DeviceSecrets.generate(SystemEntropy()).publicKeys
            enrolled.append(
                try await directory.enrol(
                    code: invite.code, deviceName: "phone",
                    keys: DeviceKeySet(
                        identityKey: keys.identityKey, agreementKey: keys.agreementKey, agreementSignature: keys.agreementSignature)))
        }
        let (alice, bob) = (enrolled[0], enrolled[1])
        #expect(try await directory.introduce(alice.user, to: bob.user, actor: actor("contact/add", "alice bob")))
        let count = Limits.sharedGroupsAtOnce * 2 + 1
        for number in 1...UInt64(count) {
            let outcome = try await store.writer.perform(
                .changeGroup(
                    ChangeGroup(
                        user: alice.user, device: alice.device, chat: nil, clientMessageID: number, action: .create, users: [bob.user], role: nil,
                        body: ByteBuffer(), keys: [])))
            guard case .sent = outcome else { throw SupportFailure("group \(number): \(outcome)") }
        }

        let plan = try await directory.planBlock(of: bob.user, for: alice.user)
        #expect(plan == (true, count))
        let block = try await directory.block(bob.user, for: alice.user, actor: actor("block/add", "alice bob"))
        #expect(block == (true, count))
        #expect(try await directory.relationCounts(of: alice.user).groups == 0)
        #expect(try await directory.relationCounts(of: bob.user).groups == count)
        #expect(try await directory.auditOfContacts(limit: 100).map(\.actor.operation) == ["block/add", "contact/add"])
        // Again: nothing is left to do.
        #expect(try await directory.block(bob.user, for: alice.user, actor: actor("block/add", "alice bob")) == (false, 0))

        // Where groups are not left, the operator is told so beforehand.
        try await directory.apply(ContactPolicy(leavesGroups: false))
        #expect(try await directory.planBlock(of: alice.user, for: bob.user) == (true, 0))
        await store.close()
        try await group.shutdownGracefully()
    }
}
