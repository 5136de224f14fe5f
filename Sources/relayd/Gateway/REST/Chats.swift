import HTTPTypes
import Hummingbird
import RelayDirectory
import RelayMessageSending
import RelayModel
import RelayStorage
import RelayWire

extension Routes {
    @Sendable func openChat(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let wire = try await request.decode(Relay_V1_OpenChatRequest.self, maxBytes: Limits.restBodyBytes)
        let other: UserID = try Checked.id(wire.userID, "user_id")
        let opened = try await sending { sending throws(SendingError) in try await sending.openChat(principal, with: other) }
        return try request.reply(try await chat(opened, for: principal))
    }

    @Sendable func chat(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        return try request.reply(try await chat(try id("chatId", context), for: principal))
    }

    private func chat(_ id: ChatID, for principal: Principal) async throws(WireFailure) -> Relay_V1_Chat {
        let row = try await sending { sending throws(SendingError) in try await sending.chat(principal, id) }
        let users = try await directory { directory throws(DirectoryError) in try await directory.users(row.members.map(\.user)) }
        var wire = Relay_V1_Chat()
        wire.chatID = id.rawValue
        wire.kind = Routes.kind(row.kind)
        wire.lastSeq = row.lastSeq
        wire.joinedSeq = row.joinedSeq
        wire.leftSeq = row.leftSeq
        wire.announced = row.kind == .group && row.members.count > environment.sending.pushMembers
        for (member, user) in zip(row.members, users) {
            if let user {
                wire.members.append(Routes.user(user))
            } else {
                // Removed since: the number stays, so that older messages keep their sender.
                var gone = Relay_V1_User()
                gone.userID = member.user.rawValue
                wire.members.append(gone)
            }
            if row.kind == .group { wire.roles.append(.init(rawValue: Int(member.role.rawValue)) ?? .unspecified) }
        }
        return wire
    }

    private static func kind(_ kind: ChatKind) -> Relay_V1_ChatKind {
        switch kind {
        case .direct: .direct
        case .group: .group
        case .notes: .notes
        }
    }

    @Sendable func conversations(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let query = request.query
        let since = try query.number("since").map { Timestamp(milliseconds: Int64($0)) }
        let after = try query.number("after") ?? 0
        let size = try pageSize(query)
        let page = try await sending { sending throws(SendingError) in
            try await sending.conversations(principal, since: since, after: after, pageSize: size)
        }
        var wire = Relay_V1_ConversationsPage()
        wire.isDeltaUpdate = since != nil
        wire.next = page.next
        wire.conversations = page.rows.map { row in
            var conversation = Relay_V1_Conversation()
            conversation.chatID = row.chat.rawValue
            conversation.kind = Routes.kind(row.kind)
            conversation.memberUserIds = row.members.map(\.rawValue)
            conversation.memberCount = UInt32(row.memberCount)
            conversation.readSeq = row.readSeq
            conversation.active = row.active
            if let last = row.last {
                conversation.lastMessage = ServerFrames.envelope(last, for: principal.device)
                conversation.lastUpdatedMs = last.message.time.milliseconds
            } else {
                conversation.lastUpdatedMs = Stamp(rawValue: row.chat.rawValue).time.milliseconds
            }
            return conversation
        }
        return try request.reply(wire)
    }

    @Sendable func messages(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let id: ChatID = try id("chatId", context)
        let query = request.query
        let after = try query.number("after")
        let before = try query.number("before")
        guard after == nil || before == nil else { throw WireFailure.malformed("name after or before, not both") }
        let size = try pageSize(query)
        let page = try await sending { sending throws(SendingError) in
            try await sending.messages(principal, chat: id, after: after, before: before, pageSize: size)
        }
        var wire = Relay_V1_MessagesPage()
        wire.isDeltaUpdate = after != nil
        wire.next = page.next
        wire.messages = page.rows.map { ServerFrames.envelope($0, for: principal.device) }
        return try request.reply(wire)
    }

    @Sendable func send(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let id: ChatID = try id("chatId", context)
        var wire = try await request.decode(Relay_V1_Send.self, maxBytes: environment.settings.maxJSONSendBytes)
        if wire.chatID == 0 { wire.chatID = id.rawValue }
        guard wire.chatID == id.rawValue else { throw WireFailure.malformed("chat_id is not the chat of the path") }
        let checked = try CheckedSend(wire, maxBodyBytes: environment.settings.maxBodyBytes)
        try environment.limits.checkMessage(of: principal, from: context.address)
        let command = Send(
            user: principal.user, device: principal.device, chat: checked.chat, clientMessageID: checked.clientMessageID, body: checked.body,
            keys: checked.keys)
        return try request.reply(
            ServerFrames.sent(try await sending { sending throws(SendingError) in try await sending.send(command) }))
    }

    @Sendable func messageStatus(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let id: ChatID = try id("chatId", context)
        guard let number = context.parameters.get("clientMessageId").flatMap({ UInt64($0) }), number > 0, number <= UInt64(Int64.max) else {
            throw WireFailure.malformed("clientMessageId must be a positive decimal number")
        }
        let status = try await sending { sending throws(SendingError) in
            try await sending.status(principal, chat: id, clientMessageID: number)
        }
        var wire = Relay_V1_MessageStatus()
        wire.sent = ServerFrames.sent(status.sent)
        wire.receipts = status.receipts.map(ServerFrames.receipt)
        wire.recipients = UInt32(status.recipients)
        wire.delivered = UInt32(status.delivered)
        wire.read = UInt32(status.read)
        wire.deleted = status.deleted
        return try request.reply(wire)
    }

    @Sendable func receipts(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let principal = try principal(request)
        let id: ChatID = try id("chatId", context)
        var wire = Relay_V1_Receipts()
        wire.receipts = try await sending { sending throws(SendingError) in try await sending.receipts(principal, chat: id) }.map(
            ServerFrames.receipt)
        return try request.reply(wire)
    }

    /// Runs a call to message sending and maps what it throws.
    func sending<Result: Sendable>(
        _ call: (MessageSending) async throws(SendingError) -> Result
    ) async throws(WireFailure) -> Result {
        do throws(SendingError) { return try await call(environment.sending) } catch { throw WireFailure(error) }
    }
}
