import RelayModel

/// The parts of an export, in the order in which they stand in the archive.
package enum ExportSection: String, Codable, Sendable, CaseIterable {
    case user, devices, invites, contacts, chats, receipts, messages, audit
}

/// Everything that the relay holds about a user, a page at a time: never a body or a wrapped key, which are other people's, too, and unreadable.
///
/// The first page, of the section `user`, is written to the audit log and gives the identifier that the other pages name, so that
/// one archive is about one user even when the name changes hands meanwhile. Pages are read one after the other: what changes meanwhile is in
/// those that are read later.
package struct UserExport: ControlOperation {
    package static let name = ControlOperationName.userExport
    package var user: String
    package var section: ExportSection
    /// From the first page. Needed for every section but `user`.
    package var id: UserID?
    /// Continue there.
    package var after: String?
    /// For the audit log, with the section `user`.
    package var reason: String?
    package init(user: String, section: ExportSection, id: UserID? = nil, after: String? = nil, reason: String? = nil) {
        self.reason = reason
        self.user = user
        self.section = section
        self.id = id
        self.after = after
    }

    /// One section's page; the other sections are absent.
    package struct Reply: Codable, Sendable {
        package var at: Timestamp
        package var user: ExportedUser?
        package var devices: [ExportedDevice]?
        package var invites: [ExportedInvite]?
        package var contacts: [ExportedContact]?
        package var chats: [ExportedChat]?
        package var receipts: [ExportedReceipt]?
        package var messages: [ExportedMessage]?
        package var audit: [AuditRecord]?
        /// Pass as `after` for the section's next page; absent at its end.
        package var next: String?
        package init(at: Timestamp) { self.at = at }
    }
}

package struct ExportedUser: Codable, Sendable, Equatable {
    package var id: UserID
    package var name: String
    package var displayName: String?
    package var avatar: String?
    package var createdAt: Timestamp
    package var suspendedAt: Timestamp?
    package var suspendedReason: String?
    package var noLimits: Bool
    /// When the user is to be erased.
    package var eraseAt: Timestamp?
    /// Absent for most.
    package var retentionClass: String?
    /// What the user lets contacts know.
    package var sharesStatus: Bool
    package var sharesLastSeen: Bool
    /// In whole minutes; absent when it is not known, or hidden and therefore not kept.
    package var lastSeenAt: Timestamp?
    package init(
        id: UserID, name: String, displayName: String?, avatar: String?, createdAt: Timestamp, suspendedAt: Timestamp?, suspendedReason: String?,
        noLimits: Bool, eraseAt: Timestamp? = nil, retentionClass: String? = nil, sharesStatus: Bool = true, sharesLastSeen: Bool = true,
        lastSeenAt: Timestamp? = nil
    ) {
        self.sharesStatus = sharesStatus
        self.sharesLastSeen = sharesLastSeen
        self.lastSeenAt = lastSeenAt
        self.retentionClass = retentionClass
        self.eraseAt = eraseAt
        self.id = id
        self.name = name
        self.displayName = displayName
        self.avatar = avatar
        self.createdAt = createdAt
        self.suspendedAt = suspendedAt
        self.suspendedReason = suspendedReason
        self.noLimits = noLimits
    }
}

package struct ExportedDevice: Codable, Sendable, Equatable {
    package var id: DeviceID
    /// Absent for a revoked device.
    package var name: String?
    package var enrolledAt: Timestamp
    package var revoked: Bool
    /// Base64: Ed25519, X25519, and the one's signature over the other.
    package var identityKey: String
    package var agreementKey: String
    package var agreementSignature: String
    /// The device has everything up to this message; absent for a revoked one, as the following.
    package var cursor: MessageID?
    /// The highest number that the device gave a message.
    package var clientMessageID: UInt64?
    /// Which agreement key it is; absent for a revoked device, as the following.
    package var agreementVersion: Int?
    /// Signed prekey, last-resort prekey, and replaced keys that are still valid.
    package var prekeys: [ExportedKey]?
    /// Those that nobody has got yet.
    package var oneTimePrekeys: [ExportedKey]?
    package init(
        id: DeviceID, name: String?, enrolledAt: Timestamp, revoked: Bool, identityKey: String, agreementKey: String, agreementSignature: String,
        cursor: MessageID?, clientMessageID: UInt64?, agreementVersion: Int? = nil, prekeys: [ExportedKey]? = nil,
        oneTimePrekeys: [ExportedKey]? = nil
    ) {
        self.agreementVersion = agreementVersion
        self.prekeys = prekeys
        self.oneTimePrekeys = oneTimePrekeys
        self.id = id
        self.name = name
        self.enrolledAt = enrolledAt
        self.revoked = revoked
        self.identityKey = identityKey
        self.agreementKey = agreementKey
        self.agreementSignature = agreementSignature
        self.cursor = cursor
        self.clientMessageID = clientMessageID
    }
}

/// A key that a device has on the relay, besides its identity key and the agreement key in use.
package struct ExportedKey: Codable, Sendable, Equatable {
    /// `agreement`, `signed`, `last-resort` or `one-time`.
    package var kind: String
    package var id: UInt64
    /// Base64.
    package var key: String
    /// Base64; one-time prekeys have none.
    package var signature: String?
    /// When it was uploaded; absent where that is not known.
    package var since: Timestamp?
    /// Of a replaced one.
    package var validUntil: Timestamp?
    package init(kind: String, id: UInt64, key: String, signature: String? = nil, since: Timestamp? = nil, validUntil: Timestamp? = nil) {
        self.kind = kind
        self.id = id
        self.key = key
        self.signature = signature
        self.since = since
        self.validUntil = validUntil
    }
}

package struct ExportedInvite: Codable, Sendable, Equatable {
    package var id: InviteID
    package var state: InviteState
    package var createdAt: Timestamp
    package var expiresAt: Timestamp
    package init(id: InviteID, state: InviteState, createdAt: Timestamp, expiresAt: Timestamp) {
        self.id = id
        self.state = state
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }
}

/// A contact as its user is told it, ended ones included.
package struct ExportedContact: Codable, Sendable, Equatable {
    package var peerID: UserID
    /// Absent when the other one was removed.
    package var peer: String?
    /// Absent: ended, or the user is not told.
    package var state: ContactStanding?
    /// The user's own label.
    package var category: String?
    package var changedAt: Timestamp
    package init(peerID: UserID, peer: String?, state: ContactStanding?, category: String?, changedAt: Timestamp) {
        self.peerID = peerID
        self.peer = peer
        self.state = state
        self.category = category
        self.changedAt = changedAt
    }
}

/// One stay of the user in a chat.
package struct ExportedChat: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable { case direct, group, notes }
    package var chat: ChatID
    package var kind: Kind
    /// The other user of a direct chat.
    package var peerID: UserID?
    /// `member`, `admin` or `owner`, in a group.
    package var role: String?
    /// How many members the chat has; absent when the user has left it.
    package var members: Int?
    /// The first sequence that the user may see, and the last; absent while the stay goes on.
    package var joinedSeq: UInt64
    package var joinedAt: Timestamp
    package var leftSeq: UInt64?
    package var leftAt: Timestamp?
    package init(
        chat: ChatID, kind: Kind, peerID: UserID?, role: String?, members: Int?, joinedSeq: UInt64, joinedAt: Timestamp, leftSeq: UInt64?,
        leftAt: Timestamp?
    ) {
        self.chat = chat
        self.kind = kind
        self.peerID = peerID
        self.role = role
        self.members = members
        self.joinedSeq = joinedSeq
        self.joinedAt = joinedAt
        self.leftSeq = leftSeq
        self.leftAt = leftAt
    }
}

/// How far the user's devices have a chat, and how far the user has read it.
package struct ExportedReceipt: Codable, Sendable, Equatable {
    package var chat: ChatID
    package var deliveredSeq: UInt64
    package var readSeq: UInt64
    package var changedAt: Timestamp
    package init(chat: ChatID, deliveredSeq: UInt64, readSeq: UInt64, changedAt: Timestamp) {
        self.chat = chat
        self.deliveredSeq = deliveredSeq
        self.readSeq = readSeq
        self.changedAt = changedAt
    }
}

/// What is known of a message in the user's mailbox, sent or received, without its content.
package struct ExportedMessage: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable { case message, change, deletion, deleted }
    package var message: MessageID
    package var chat: ChatID
    package var chatSeq: UInt64
    package var kind: Kind
    package var sentAt: Timestamp
    package var senderUser: UserID
    /// Absent for a change that the relay made by itself: a block, a removed user.
    package var senderDevice: DeviceID?
    /// The number that the sender's device gave it; only of the user's own.
    package var clientMessageID: UInt64?
    /// Of the encrypted body.
    package var bytes: Int
    /// The user deleted it from their own devices.
    package var hidden: Bool
    package init(
        message: MessageID, chat: ChatID, chatSeq: UInt64, kind: Kind, sentAt: Timestamp, senderUser: UserID, senderDevice: DeviceID?,
        clientMessageID: UInt64?, bytes: Int, hidden: Bool
    ) {
        self.message = message
        self.chat = chat
        self.chatSeq = chatSeq
        self.kind = kind
        self.sentAt = sentAt
        self.senderUser = senderUser
        self.senderDevice = senderDevice
        self.clientMessageID = clientMessageID
        self.bytes = bytes
        self.hidden = hidden
    }
}
