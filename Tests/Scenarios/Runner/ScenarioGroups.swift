import Foundation
import RelayClient
import RelayModel
import RelayTestSupport

/// The sentences about groups and about deleting.
extension ScenarioRun {
    func performGroup(_ sentence: Sentence) async throws {
        switch sentence {
        case .creates(let name, let title, let users):
            try await untilSent(name, try await device(name).session.createGroup(title, with: users))
        case .changes(let name, let change): try await untilSent(name, [try await queue(name, change)])
        case .failsToChange(let name, let change, let code): try await expectDead(name, [try await queue(name, change)], code)
        case .knowsGroup(let name, let title):
            try await device(name).session.wait(for: "a group called “\(title)”", timeout: Self.patience) { session throws(ClientError) in
                try session.read { state throws(ClientError) in try !state.groups(titled: title).isEmpty }
            }
        case .seesMembers(let name, let title, let users):
            let wanted = users.sorted()
            do {
                try await waitFor("the members \(wanted.joined(separator: ", "))", name, title) { state, chat throws(ClientError) in
                    try state.members(of: chat).compactMap(\.name).sorted() == wanted
                }
            } catch {
                let found = try await members(name, title).map { "\($0.name ?? "?") (\($0.role))" }
                throw SupportFailure("\(error); there are \(found.joined(separator: ", "))")
            }
        case .seesRole(let name, let user, let role, let title):
            do {
                try await waitFor("\(user) as \(role)", name, title) { state, chat throws(ClientError) in
                    try state.members(of: chat).contains { $0.name == user && "\($0.role)" == role }
                }
            } catch {
                let found = try await members(name, title).map { "\($0.name ?? "?") (\($0.role))" }
                throw SupportFailure("\(error); there are \(found.joined(separator: ", "))")
            }
        case .isOut(let name, let title):
            try await waitFor("the end of the membership", name, title) { state, chat throws(ClientError) in try state.group(chat)?.leftSeq ?? 0 > 0 }
        case .seesNothingMissing(let name):
            let missing = try await device(name).session.read { state throws(ClientError) in try state.gapRecords() }
            guard missing.isEmpty else {
                throw SupportFailure("missing: \(missing.map { "\($0.places) of chat \($0.chat)" }.joined(separator: ", "))")
            }
        default: throw SupportFailure("not a sentence about groups")
        }
    }

    private func members(_ name: DeviceName, _ title: String) async throws -> [GroupMemberRecord] {
        guard case .chat(let chat) = try await group(title, name) else { return [] }
        return try await device(name).session.read { state throws(ClientError) in try state.members(of: chat) }
    }

    private func waitFor(
        _ what: String, _ name: DeviceName, _ title: String, _ condition: @escaping @Sendable (ClientState, ChatID) throws(ClientError) -> Bool
    ) async throws {
        try await device(name).session.wait(for: what, timeout: Self.patience) { session throws(ClientError) in
            try session.read { state throws(ClientError) in
                guard let group = try state.groups(titled: title).first else { return false }
                return try condition(state, group.chat)
            }
        }
    }

    private func queue(_ name: DeviceName, _ change: Sentence.Change) async throws -> Int64 {
        let session = try device(name).session
        switch change {
        case .add(let users, let title): return try await session.add(users, to: try await group(title, name))
        case .remove(let users, let title): return try await session.remove(users, from: try await group(title, name))
        case .leave(let title): return try await session.leave(try await group(title, name))
        case .rename(let title, let new): return try await session.rename(try await group(title, name), to: new)
        case .role(let users, let role, let title):
            guard let role = GroupRole.allCases.first(where: { "\($0)" == role }) else { throw SupportFailure("“\(role)” is no role") }
            return try await session.setRole(of: users, to: role, in: try await group(title, name))
        }
    }

    // MARK: Deleting

    func performDeletion(_ sentence: Sentence) async throws {
        switch sentence {
        case .deletes(let name, let text, let forEveryone):
            try await untilSent(name, try await delete(name, text, forEveryone: forEveryone))
            try noteLost(name, text)
        case .failsToDelete(let name, let text, let forEveryone, let code):
            try await expectDead(name, try await delete(name, text, forEveryone: forEveryone), code)
        case .hasLost(let name, let text):
            try await device(name).session.wait(for: "“\(text)” to be gone", timeout: Self.patience) { session throws(ClientError) in
                try session.read { state throws(ClientError) in try !state.history().contains { $0.text == text } }
            }
            try noteLost(name, text)
        case .stillHas(let name, let text): _ = try await find(name, text)
        case .learns(let name, let text, let delivered, let recipients, let read):
            let entry = try await find(name, text)
            let status = try await device(name).session.status(of: entry.clientMessageID, in: entry.chat)
            guard status.delivered == delivered, status.recipients == recipients, status.read == read else {
                throw SupportFailure("\(status.delivered) of \(status.recipients) have it, \(status.read) read it")
            }
        case .learnsDeleted(let name, let text):
            guard let entry = deleted[text] else { throw SupportFailure("nobody deleted “\(text)”") }
            let status = try await device(name).session.status(of: entry.clientMessageID, in: entry.chat)
            guard status.deleted else { throw SupportFailure("the relay still has it") }
        default: throw SupportFailure("not a sentence about deleting")
        }
    }

    private func delete(_ name: DeviceName, _ text: String, forEveryone: Bool) async throws -> [Int64] {
        let entry: HistoryEntry
        do { entry = try await find(name, text) } catch {
            // Its text is gone when it is deleted once more.
            guard let gone = deleted[text] else { throw error }
            entry = gone
        }
        deleted[text] = entry
        return try await device(name).session.delete([entry.chatSeq], in: entry.chat, forEveryone: forEveryone)
    }

    private func find(_ name: DeviceName, _ text: String) async throws -> HistoryEntry {
        let entries = try await device(name).session.read { state throws(ClientError) in try state.history() }
        guard let found = entries.last(where: { $0.text == text && $0.kind == .message }) else { throw SupportFailure("\(name) has no “\(text)”") }
        return found
    }

    private func noteLost(_ name: DeviceName, _ text: String) throws {
        guard text.utf8.count >= 5 else { throw SupportFailure("“\(text)” is too short to be looked for in files") }
        lost[name, default: []].append(text)
    }

    /// Where deleted texts are left in the files of a device whose client has ended.
    func traces(of texts: [String], of name: DeviceName) throws -> [String] {
        let path = try device(name).directory.path
        var found: [String] = []
        for file in try FileManager.default.contentsOfDirectory(atPath: path) {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(file)"))
            for text in texts where bytes.range(of: Data(text.utf8)) != nil { found.append("\(name) kept the deleted “\(text)” in \(file)") }
        }
        return found
    }
}
