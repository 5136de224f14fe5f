import RelayModel

/// The first exchange on a connection: do both sides speak the same protocol?
package struct Hello: ControlOperation {
    package static let name = ControlOperationName.hello
    package init() {}
    package struct Reply: Codable, Sendable {
        package var protocolVersion: Int
        package var relayVersion: String
        package init(protocolVersion: Int, relayVersion: String) {
            self.protocolVersion = protocolVersion
            self.relayVersion = relayVersion
        }
    }
}

/// How the daemon is, on one screen.
package struct Status: ControlOperation {
    package static let name = ControlOperationName.status
    package init() {}
    package struct Reply: Codable, Sendable {
        package var relayVersion: String
        package var startedAt: Timestamp
        package var now: Timestamp
        package var processID: Int
        /// Where clients connect.
        package var listening: [String]
        /// The link base that invites carry.
        package var publicURL: String
        package var users: Int
        package var devices: Int
        package var openInvites: Int
        /// Live WebSocket connections.
        package var connections: Int
        /// Since the start.
        package var messagesAccepted: Int
        package var envelopesDelivered: Int
        package var requestsRefused: Int
        /// The store's file and its write-ahead log.
        package var storeBytes: Int
        package var writerQueue: Int
        /// Commands and transactions since the start: their ratio is the batch that group commit reaches.
        package var commandsApplied: Int
        package var commits: Int
        package var residentBytes: Int
        package var cpuMicroseconds: Int
        /// False: whoever asks may only look. Then people and connections are rounded up to a power of two, and what passed down to a multiple of 1,024.
        package var isExact: Bool
        package var health: Health.Reply
        /// Alerts that go on.
        package var openAlerts: Int
        /// Messages that some device has yet to get, rounded up to a power of two.
        package var undelivered: Int
        /// Of the file system that the store lies in; 0: not known yet.
        package var diskBytes: Int
        package var diskFreeBytes: Int
        package init(
            relayVersion: String, startedAt: Timestamp, now: Timestamp, processID: Int, listening: [String], publicURL: String, users: Int,
            devices: Int, openInvites: Int, connections: Int, messagesAccepted: Int, envelopesDelivered: Int, requestsRefused: Int,
            storeBytes: Int, writerQueue: Int, commandsApplied: Int, commits: Int, residentBytes: Int, cpuMicroseconds: Int, isExact: Bool,
            health: Health.Reply, openAlerts: Int, undelivered: Int, diskBytes: Int, diskFreeBytes: Int
        ) {
            self.relayVersion = relayVersion
            self.startedAt = startedAt
            self.now = now
            self.processID = processID
            self.listening = listening
            self.publicURL = publicURL
            self.users = users
            self.devices = devices
            self.openInvites = openInvites
            self.connections = connections
            self.messagesAccepted = messagesAccepted
            self.envelopesDelivered = envelopesDelivered
            self.requestsRefused = requestsRefused
            self.storeBytes = storeBytes
            self.writerQueue = writerQueue
            self.commandsApplied = commandsApplied
            self.commits = commits
            self.residentBytes = residentBytes
            self.cpuMicroseconds = cpuMicroseconds
            self.isExact = isExact
            self.health = health
            self.openAlerts = openAlerts
            self.undelivered = undelivered
            self.diskBytes = diskBytes
            self.diskFreeBytes = diskFreeBytes
        }
    }
}

// MARK: Users

/// What the relay holds about a user, for the operator.
package struct UserRecord: Codable, Sendable, Equatable {
    package var id: UserID
    package var name: String
    package var displayName: String?
    package var avatar: String?
    package var createdAt: Timestamp
    package var devices: [DeviceRecord]
    package var openInvites: Int
    /// Since when the user may neither send nor connect; absent for most.
    package var suspendedAt: Timestamp?
    package var suspendedReason: String?
    /// Not held to rate limits.
    package var noLimits: Bool
    /// The user is out, and is erased then; absent for most.
    package var eraseAt: Timestamp?
    /// In whole minutes, when one user is shown; absent when it is not known, or the user hides it.
    package var lastSeenAt: Timestamp?
    /// Only when one user is shown.
    package var relations: UserRelations?
    package init(
        id: UserID, name: String, displayName: String?, avatar: String?, createdAt: Timestamp, devices: [DeviceRecord], openInvites: Int,
        suspendedAt: Timestamp? = nil, suspendedReason: String? = nil, noLimits: Bool = false, relations: UserRelations? = nil,
        eraseAt: Timestamp? = nil
    ) {
        self.eraseAt = eraseAt
        self.relations = relations
        self.suspendedAt = suspendedAt
        self.suspendedReason = suspendedReason
        self.noLimits = noLimits
        self.id = id
        self.name = name
        self.displayName = displayName
        self.avatar = avatar
        self.createdAt = createdAt
        self.devices = devices
        self.openInvites = openInvites
    }
}

/// How many others a user has to do with.
package struct UserRelations: Codable, Sendable, Equatable {
    /// By state: the user's contacts, those whom the user asked, those who wait for the user's answer, those whom the user does not answer.
    package var accepted: Int
    package var requested: Int
    package var incoming: Int
    package var ignored: Int
    /// Whom the user blocks, and who blocks the user.
    package var blocks: Int
    package var blockedBy: Int
    /// Groups that the user is in.
    package var groups: Int
    package init(accepted: Int, requested: Int, incoming: Int, ignored: Int, blocks: Int, blockedBy: Int, groups: Int) {
        self.accepted = accepted
        self.requested = requested
        self.incoming = incoming
        self.ignored = ignored
        self.blocks = blocks
        self.blockedBy = blockedBy
        self.groups = groups
    }
}

/// An invite as it is shown once: the only place where the code appears.
package struct InviteIssued: Codable, Sendable {
    package var id: InviteID
    package var user: String
    /// The one-time secret.
    package var code: String
    /// What a client opens: the relay's address with the code behind `#`, so that no server logs it.
    package var link: String
    package var expiresAt: Timestamp
    package init(id: InviteID, user: String, code: String, link: String, expiresAt: Timestamp) {
        self.id = id
        self.user = user
        self.code = code
        self.link = link
        self.expiresAt = expiresAt
    }
}

/// Adds a user and issues their first invite.
package struct UserAdd: ControlOperation {
    package static let name = ControlOperationName.userAdd
    package var user: String
    package var displayName: String?
    package var avatar: String?
    /// Seconds until the invite expires; the relay's default when absent.
    package var inviteLifetimeSeconds: Int?
    /// Not held to rate limits: for bots and load generators.
    package var noLimits: Bool?
    package init(
        user: String, displayName: String? = nil, avatar: String? = nil, inviteLifetimeSeconds: Int? = nil, noLimits: Bool? = nil
    ) {
        self.noLimits = noLimits
        self.user = user
        self.displayName = displayName
        self.avatar = avatar
        self.inviteLifetimeSeconds = inviteLifetimeSeconds
    }
    package struct Reply: Codable, Sendable {
        package var user: UserRecord
        package var invite: InviteIssued
        package init(user: UserRecord, invite: InviteIssued) {
            self.user = user
            self.invite = invite
        }
    }
}

/// Users in the order of their names, in pages.
package struct UserList: ControlOperation {
    package static let name = ControlOperationName.userList
    /// Continue behind this name.
    package var after: String?
    /// 1 to 500; 500 when absent.
    package var limit: Int?
    package init(after: String? = nil, limit: Int? = nil) {
        self.after = after
        self.limit = limit
    }
    package struct Reply: Codable, Sendable {
        package var users: [UserRecord]
        /// Pass as `after` for the next page; absent at the end.
        package var next: String?
        package init(users: [UserRecord], next: String?) {
            self.users = users
            self.next = next
        }
    }
}

package struct UserShow: ControlOperation {
    package static let name = ControlOperationName.userShow
    package var user: String
    package init(user: String) { self.user = user }
    package typealias Reply = UserRecord
}

/// Removes a user: devices and invites end at once, their mailbox is deleted. Messages in other people's mailboxes stay.
package struct UserRemove: ControlOperation {
    package static let name = ControlOperationName.userRemove
    package var user: String
    /// Only say what would go.
    package var dryRun: Bool?
    /// For the audit log.
    package var reason: String?
    package init(user: String, dryRun: Bool? = nil, reason: String? = nil) {
        self.user = user
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var user: String
        package var dryRun: Bool
        package var devices: Int
        package var openInvites: Int
        package var mailboxEntries: Int
        package init(user: String, dryRun: Bool, devices: Int, openInvites: Int, mailboxEntries: Int) {
            self.user = user
            self.dryRun = dryRun
            self.devices = devices
            self.openInvites = openInvites
            self.mailboxEntries = mailboxEntries
        }
    }
}

/// Keeps a user from sending and connecting until they are resumed. What is sent to them is kept.
package struct UserSuspend: ControlOperation {
    package static let name = ControlOperationName.userSuspend
    package var user: String
    /// For the audit log and for other operators; the user is not told.
    package var reason: String
    package init(user: String, reason: String) {
        self.user = user
        self.reason = reason
    }
    package typealias Reply = UserRecord
}

/// Ends a suspension.
package struct UserResume: ControlOperation {
    package static let name = ControlOperationName.userResume
    package var user: String
    package var reason: String?
    package init(user: String, reason: String? = nil) {
        self.user = user
        self.reason = reason
    }
    package typealias Reply = UserRecord
}

// MARK: Invites

package enum InviteState: String, Codable, Sendable { case open, used, expired, revoked }

package struct InviteRecord: Codable, Sendable, Equatable {
    package var id: InviteID
    package var user: String
    package var state: InviteState
    package var createdAt: Timestamp
    package var expiresAt: Timestamp
    package init(id: InviteID, user: String, state: InviteState, createdAt: Timestamp, expiresAt: Timestamp) {
        self.id = id
        self.user = user
        self.state = state
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }
}

package struct InviteCreate: ControlOperation {
    package static let name = ControlOperationName.inviteCreate
    package var user: String
    package var lifetimeSeconds: Int?
    package init(user: String, lifetimeSeconds: Int? = nil) {
        self.user = user
        self.lifetimeSeconds = lifetimeSeconds
    }
    package typealias Reply = InviteIssued
}

package struct InviteList: ControlOperation {
    package static let name = ControlOperationName.inviteList
    /// Only this user's.
    package var user: String?
    package init(user: String? = nil) { self.user = user }
    package struct Reply: Codable, Sendable {
        package var invites: [InviteRecord]
        package init(invites: [InviteRecord]) { self.invites = invites }
    }
}

/// Makes an invite's link useless.
package struct InviteRevoke: ControlOperation {
    package static let name = ControlOperationName.inviteRevoke
    package var invite: InviteID
    package var dryRun: Bool?
    package var reason: String?
    package init(invite: InviteID, dryRun: Bool? = nil, reason: String? = nil) {
        self.invite = invite
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var invite: InviteRecord
        package var dryRun: Bool
        package init(invite: InviteRecord, dryRun: Bool) {
            self.invite = invite
            self.dryRun = dryRun
        }
    }
}

// MARK: Devices

package struct DeviceRecord: Codable, Sendable, Equatable {
    package var id: DeviceID
    package var user: String
    package var name: String
    /// Of the identity key: the first 16 bytes of its BLAKE2b-256 hash, in groups of four hex digits.
    package var fingerprint: String
    package var createdAt: Timestamp
    package var online: Bool
    /// Envelopes in the user's mailbox behind this device's cursor.
    package var pending: Int
    package init(id: DeviceID, user: String, name: String, fingerprint: String, createdAt: Timestamp, online: Bool, pending: Int) {
        self.id = id
        self.user = user
        self.name = name
        self.fingerprint = fingerprint
        self.createdAt = createdAt
        self.online = online
        self.pending = pending
    }
}

package struct DeviceList: ControlOperation {
    package static let name = ControlOperationName.deviceList
    /// Only this user's.
    package var user: String?
    package init(user: String? = nil) { self.user = user }
    package struct Reply: Codable, Sendable {
        package var devices: [DeviceRecord]
        package init(devices: [DeviceRecord]) { self.devices = devices }
    }
}

package struct DeviceShow: ControlOperation {
    package static let name = ControlOperationName.deviceShow
    package var device: DeviceID
    package init(device: DeviceID) { self.device = device }
    package typealias Reply = DeviceRecord
}

/// Ends a device: its tokens and connections die at once, nothing more is delivered to it.
package struct DeviceRevoke: ControlOperation {
    package static let name = ControlOperationName.deviceRevoke
    package var device: DeviceID
    package var dryRun: Bool?
    package var reason: String?
    package init(device: DeviceID, dryRun: Bool? = nil, reason: String? = nil) {
        self.device = device
        self.dryRun = dryRun
        self.reason = reason
    }
    package struct Reply: Codable, Sendable {
        package var device: DeviceRecord
        package var dryRun: Bool
        package init(device: DeviceRecord, dryRun: Bool) {
            self.device = device
            self.dryRun = dryRun
        }
    }
}
