import RelayModel
import RelayStorage

// Pages of what is held about one user.
extension Directory {
    /// A user by name, as long as the name is still that user's.
    package func userRow(named name: String, id: UserID) async throws(DirectoryError) -> UserRow {
        let row = try await find(name)
        guard row.id == id else { throw .rejected(.userUnknown) }
        return row
    }

    package func exportedDevices(of user: UserID, after device: DeviceID?, limit: Int) async throws(DirectoryError) -> [KeyRow] {
        let now = clock.now()
        return try await readers.look { try $0.keys(of: user, after: device, activeOnly: false, limit: limit, at: now) }
    }

    package func exportedInvites(of user: UserRow, after invite: InviteID?, limit: Int) async throws(DirectoryError) -> [InviteRow] {
        try await readers.look { try $0.invites(of: user, after: invite, limit: limit) }
    }

    package func exportedContacts(of user: UserID, after peer: UserID?, limit: Int) async throws(DirectoryError) -> [ExportedContactRow] {
        try await readers.look { try $0.exportedContacts(of: user, after: peer, limit: limit) }
    }

    package func exportedStays(of user: UserID, after place: ChatPosition?, limit: Int) async throws(DirectoryError) -> [StayRow] {
        try await readers.look { try $0.stays(of: user, after: place, limit: limit) }
    }

    package func exportedReceipts(of user: UserID, after chat: ChatID?, limit: Int) async throws(DirectoryError) -> [ReceiptRow] {
        try await readers.look { try $0.ownReceipts(of: user, after: chat, limit: limit) }
    }

    package func exportedMessages(of user: UserID, after place: ChatPosition?, limit: Int) async throws(DirectoryError) -> MessageRowsPage {
        try await readers.look { try $0.messageRows(of: user, after: place, limit: limit) }
    }

    package func exportedAudit(about user: UserRow, after stamp: UInt64, limit: Int) async throws(DirectoryError) -> [(stamp: UInt64, row: AuditRow)]
    {
        try await readers.look { try $0.audit(about: user, after: stamp, limit: limit) }
    }
}
