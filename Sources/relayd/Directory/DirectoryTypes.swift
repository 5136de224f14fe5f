import RelayModel
import RelayStorage

/// The directory's settings; the configuration fills them in.
package struct DirectorySettings: Sendable {
    package var devicesPerUser = Limits.devicesPerUser
    package var inviteLifetime = Limits.inviteLifetime
    package var tokenLifetime = Limits.tokenLifetime
    package var linkWait = Limits.linkWait
    /// How long a user who is to be erased can be brought back, unless the operator says otherwise.
    package var erasureGrace = Limits.erasureGrace
    /// What invite links begin with, such as `https://chat.example.org`.
    package var publicURL: String
    package init(publicURL: String) { self.publicURL = publicURL }
}

/// Why the directory refuses.
package enum DirectoryError: Error, Sendable {
    case invalidName(UserName.Invalid)
    /// A field is ill-formed; the text says which and how.
    case invalid(String)
    case rejected(Rejection)
    /// Another device of the user decided otherwise meanwhile: how it is now.
    case contactConflict(ContactRow)
    case unauthorized
    case tokenExpired
    case deviceRevoked
    case userSuspended
    case signatureInvalid
    case challengeExpired
    case link(LinkRefusal)
    /// The writer's inbox is full.
    case overloaded
    /// The store is closing.
    case stopping
    /// The store cannot be read or written.
    case storeFailed
}

/// Who is behind an authenticated connection or request.
package struct Principal: Sendable, Hashable {
    package var user: UserID
    package var device: DeviceID
    /// The user is not held to rate limits.
    package var noLimits: Bool
}

/// What others may know about a user.
package struct UserDevices: Sendable {
    package var user: UserRow
    /// Active ones, in the order of their identifiers.
    package var devices: [DeviceRow]
}

package struct IssuedInvite: Sendable {
    package var id: InviteID
    package var user: UserName
    package var code: String
    package var link: String
    package var expires: Timestamp
}

package struct IssuedToken: Sendable {
    package var token: String
    package var expires: Timestamp
}

package struct IssuedChallenge: Sendable {
    package var bytes: [UInt8]
    package var expires: Timestamp
}

/// A user with all their active devices, for key look-ups and for the operator.
package struct UserDetails: Sendable {
    package var user: UserRow
    package var devices: [DeviceDetails]
    package var openInvites: Int
}

package struct DeviceDetails: Sendable {
    package var device: DeviceRow
    package var userName: UserName
    /// First 16 bytes of the identity key's BLAKE2b-256 hash, in groups of four hex digits.
    package var fingerprint: String
    /// Envelopes behind the device's cursor.
    package var pending: Int
}

package struct UserRemoval: Sendable {
    package var user: UserName
    package var devices: Int
    package var openInvites: Int
    package var mailboxEntries: Int
}

/// Whoever holds connections of devices: told when devices must lose them. Called on any thread, after the change is on disk.
package protocol RevocationListener: CommitReceiver {
    func revoked(_ devices: [DeviceID])
    func suspended(_ devices: [DeviceID])
}
