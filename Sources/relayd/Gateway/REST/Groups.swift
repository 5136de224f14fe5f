import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayWire

// Groups and deletions without a WebSocket. The bodies are those of the frames.
extension Routes {
    @Sendable func createGroup(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let wire = try await request.decode(Relay_V1_GroupChange.self, maxBytes: environment.settings.maxJSONSendBytes)
        guard wire.action == .create else { throw WireFailure.malformed("action must be CREATE; other changes go to /v1/groups/{chatId}") }
        return try await changeGroup(request, wire, context)
    }

    @Sendable func changeGroup(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id: ChatID = try id("chatId", context)
        var wire = try await request.decode(Relay_V1_GroupChange.self, maxBytes: environment.settings.maxJSONSendBytes)
        if wire.chatID == 0 { wire.chatID = id.rawValue }
        guard wire.chatID == id.rawValue else { throw WireFailure.malformed("chat_id is not the chat of the path") }
        return try await changeGroup(request, wire, context)
    }

    private func changeGroup(_ request: Request, _ wire: Relay_V1_GroupChange, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        try environment.limits.checkMessage(of: principal, from: context.address)
        let change = try CheckedGroupChange(wire, maxBodyBytes: environment.settings.maxBodyBytes)
        let command = ChangeGroup(
            user: principal.user, device: principal.device, chat: change.chat, clientMessageID: change.clientMessageID, action: change.action,
            users: change.users, role: change.role, body: change.body, keys: change.keys)
        return try request.reply(
            ServerFrames.sent(try await sending { sending throws(SendingError) in try await sending.changeGroup(command) }))
    }

    @Sendable func delete(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let id: ChatID = try id("chatId", context)
        var wire = try await request.decode(Relay_V1_Delete.self, maxBytes: Limits.restBodyBytes)
        if wire.chatID == 0 { wire.chatID = id.rawValue }
        guard wire.chatID == id.rawValue else { throw WireFailure.malformed("chat_id is not the chat of the path") }
        try environment.limits.checkMessage(of: principal, from: context.address)
        let delete = try CheckedDelete(wire)
        let command = Delete(
            user: principal.user, device: principal.device, chat: delete.chat, clientMessageID: delete.clientMessageID, seqs: delete.seqs,
            forEveryone: delete.forEveryone)
        return try request.reply(ServerFrames.sent(try await sending { sending throws(SendingError) in try await sending.delete(command) }))
    }
}
