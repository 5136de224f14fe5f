import Glibc
import RelayCrypto
import RelayModel
import RelaySQLite
import RelayTestSupport
import Testing

@testable import RelayStorage

/// The operators' log: a chain that nobody changes unseen, that keeps no names that must go, and that does not grow for ever.
@Suite struct AuditTests {
    private func write(_ world: World, _ operation: String, _ subject: String, _ reason: String? = nil, result: String = Actor.done) async throws {
        _ = try await world.store.writer.perform(
            .auditOnly, actor: Actor(uid: 7, operation: operation, subject: subject, reason: reason, result: result))
    }

    private func check(_ database: Database) throws -> AuditCheck {
        var check = AuditCheck(kept: Limits.auditEntriesKept)
        let reader = Reader(database)
        var from: UInt64? = 0
        while let stamp = from { (check, from) = try reader.check(check, after: stamp, limit: 3) }
        check.finish()
        return check
    }

    @Test func everyChangeIsSeen() async throws {
        let world = try await World()
        for number in 1...10 { try await write(world, "test/\(number)", "alice", number.isMultiple(of: 2) ? "because" : nil) }
        await world.store.close()
        let path = world.directory.file("relay.db")
        let good = try check(try Database(path: path, access: .readWriteCreate))
        #expect(good.findings == [] && good.first == 1 && good.entries == good.last?.number && good.entries >= 10)
        let last = good.entries
        func tampered(_ sql: String) throws -> [String] {
            let copy = world.directory.file("copy.db")
            let source = try Database(path: path, access: .readOnly)
            try source.execute("VACUUM INTO '\(copy)'")
            let database = try Database(path: copy, access: .scratch)
            try database.execute("DROP TRIGGER audit_stays; DROP TRIGGER audit_remains; \(sql)")
            let findings = try check(database).findings
            unlink(copy)
            return findings
        }
        #expect(try tampered("UPDATE audit SET uid = 8 WHERE number = \(last - 3)") == ["entry \(last - 3) was changed, or one before it"])
        #expect(try tampered("UPDATE audit SET result = 'failed' WHERE number = 1").count == 1)
        #expect(try tampered("UPDATE audit SET subject = 'bob' WHERE number = 2") == ["the subject or reason of entry 2 was changed"])
        #expect(try tampered("UPDATE audit SET reason = '' WHERE number = \(last - 1)").count == 1)
        #expect(try tampered("DELETE FROM audit WHERE number = 3").first == "behind entry 2 comes 4: what was between them is gone")
        #expect(
            try tampered("DELETE FROM audit WHERE number < 3")
                == ["the log begins with entry 3, although fewer than 100000 follow: its beginning was cut off"])
        // An end that was cut off needs a hash that somebody wrote down.
        #expect(try tampered("DELETE FROM audit WHERE number = \(last)").isEmpty)
        // Without a trigger in the way it is not done by mistake.
        let database = try Database(path: path, access: .readWriteCreate)
        for sql in ["DELETE FROM audit WHERE number = 1", "UPDATE audit SET uid = 0", "UPDATE audit SET salt = x'00'"] {
            #expect(throws: SQLiteError.self) { try database.execute(sql) }
        }
    }

    @Test func anErasureTakesTheNameAndTheChainHolds() async throws {
        let world = try await World()
        try await write(world, "user/suspend", "alice", "insulted somebody")
        try await write(world, "user/suspend", "bob", "unrelated")
        let before = try await world.store.readers.read { try $0.audit(limit: 100) }
        let fingerprint = try await world.store.readers.read { [alice = world.alice] in try $0.erasureFingerprint(of: alice, grace: .zero) }
        _ = try await world.store.writer.perform(.eraseUser(EraseUser(user: world.alice, fingerprint: fingerprint, grace: .zero, uid: 7)))
        while case .removed(_, true, _) = try await world.perform(.clearUser(world.alice, limit: 1000)) {}
        _ = try await world.perform(.finishErasure(world.alice))
        try await write(world, "user/add", "carol")
        await world.store.close()
        let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
        let verdict = try check(database)
        #expect(verdict.findings == [] && verdict.erased >= 1 && verdict.entries == before.count + 2)
        #expect(try database.integer("SELECT count(*) FROM audit WHERE subject LIKE '%alice%' OR reason LIKE '%insulted%'") == 0)
        #expect(try database.integer("SELECT count(*) FROM audit WHERE salt IS NULL") == Int64(verdict.erased))
        #expect(try database.integer("SELECT count(*) FROM audit WHERE subject = 'bob' AND salt IS NOT NULL") ?? 0 > 0)
    }

    /// What somebody mistyped may be anybody's name.
    @Test func aFailureNamesOnlyWhoIsThere() async throws {
        let world = try await World()
        try await write(world, "user/remove", "alcie", "typed it wrong", result: "not_found")
        try await write(world, "block/remove", "alice bob", "x", result: "not_found")
        try await write(world, "block/remove", "alice nobody", result: "not_found")
        try await write(world, "device/revoke", "382364223419711500", result: "not_found")
        let rows = try await world.store.readers.read { try $0.audit(AuditQuery(failedOnly: true), limit: 100) }
        #expect(rows.map(\.actor.subject) == ["382364223419711500", "", "alice bob", ""])
        #expect(rows.allSatisfy { $0.actor.reason == nil && $0.actor.result == "not_found" })
        let page = try await world.store.readers.read { [number = rows[1].number] in try $0.audit(AuditQuery(before: number), limit: 1) }
        #expect(page.map(\.number) == [rows[2].number])
        let recent = try await world.store.readers.read { [at = rows[0].at] in try $0.audit(AuditQuery(since: at), limit: 100) }
        #expect(!recent.isEmpty && recent.allSatisfy { $0.at >= rows[0].at })
        await world.store.close()
    }

    @Test func theOldestGoWhenThereAreEnough() async throws {
        let world = try await World()
        try await write(world, "test/a", "")
        try await write(world, "test/b", "")
        await world.store.close()
        let database = try Database(path: world.directory.file("relay.db"), access: .readWriteCreate)
        let first = try #require(try database.integer("SELECT max(number) FROM audit"))
        var end = AuditEnd(number: Limits.auditEntriesKept + 1, hash: HashChain.beginning)
        let stamp = Stamp(rawValue: UInt64(bitPattern: try database.integer("SELECT max(stamp) FROM audit") ?? 0) + 1)
        try end.append(Actor(uid: 0, operation: "test/c", subject: ""), at: stamp, with: try database.prepare(AuditEnd.insertion))
        // Those that are beyond the limit now may go: one with each that comes.
        let store = try Store(path: world.directory.file("relay.db"), clock: world.clock, onFailure: { Issue.record("\($0)") })
        for round in 1...4 as ClosedRange<Int64> {
            _ = try await store.writer.perform(.auditOnly, actor: Actor(uid: 0, operation: "test/d", subject: ""))
            let left = try database.integer("SELECT count(*) FROM audit WHERE number <= \(first)") ?? 0
            #expect(left == max(0, first - round))
        }
        await store.close()
    }

    @Test func anOlderLogIsChained() throws {
        let directory = try TemporaryDirectory()
        let database = try Database(path: directory.file("relay.db"), access: .readWriteCreate)
        let older = Schema.migrations.firstIndex { $0.sql == Schema.audit.sql } ?? 0
        for migration in Schema.migrations[..<older] { try migration.run(on: database) }
        try database.execute(
            """
            PRAGMA user_version = \(older);
            INSERT INTO audit VALUES (4096, 0, 'user/add', 'alice', NULL), (8192, 1000, 'user/remove', 'erased:4096', 'left');
            """)
        try Store.migrate(database)
        let verdict = try check(database)
        #expect(verdict.findings == [] && verdict.entries == 2 && verdict.last?.uid == 1000 && verdict.last?.result == "done")
        #expect(try Reader(database).audit(limit: 10).map(\.actor.subject) == ["erased:4096", "alice"])
    }
}
