import RelayModel

/// A device's published keys, as people compare them.
package struct KeyRecord: Codable, Sendable, Equatable {
    package var device: DeviceID
    /// Absent when the user was removed; the public keys stay, so that others can still check what the device sent.
    package var user: String?
    /// The device's name; absent for a revoked one.
    package var name: String?
    package var enrolledAt: Timestamp
    package var revoked: Bool
    /// Of each key: the first 16 bytes of its BLAKE2b-256 hash, in groups of four hex digits.
    package var identityFingerprint: String
    package var agreementFingerprint: String
    /// The identity key's signature over the agreement key was checked for this reply and is right.
    package var signatureValid: Bool
    /// Absent for a revoked device, which has none.
    package var prekeys: PrekeyRecord?
    package init(
        device: DeviceID, user: String?, name: String?, enrolledAt: Timestamp, revoked: Bool, identityFingerprint: String,
        agreementFingerprint: String, signatureValid: Bool, prekeys: PrekeyRecord? = nil
    ) {
        self.prekeys = prekeys
        self.device = device
        self.user = user
        self.name = name
        self.enrolledAt = enrolledAt
        self.revoked = revoked
        self.identityFingerprint = identityFingerprint
        self.agreementFingerprint = agreementFingerprint
        self.signatureValid = signatureValid
    }
}

/// The keys of devices, revoked ones included, in the order in which they were enrolled, in pages.
package struct KeyList: ControlOperation {
    package static let name = ControlOperationName.keyList
    /// Only this user's.
    package var user: String?
    /// Continue behind this device.
    package var after: DeviceID?
    /// 1 to 500; 500 when absent.
    package var limit: Int?
    /// Only active devices that have uploaded one-time prekeys before and have fewer than 10 left. A page may then have fewer than `limit`, or none,
    /// before the end: how much of the store one page looks at is bounded.
    package var low: Bool?
    package init(user: String? = nil, after: DeviceID? = nil, limit: Int? = nil, low: Bool? = nil) {
        self.low = low
        self.user = user
        self.after = after
        self.limit = limit
    }
    package struct Reply: Codable, Sendable {
        package var keys: [KeyRecord]
        /// Pass as `after` for the next page; absent at the end.
        package var next: DeviceID?
        package init(keys: [KeyRecord], next: DeviceID?) {
            self.keys = keys
            self.next = next
        }
    }
}

package struct KeyShow: ControlOperation {
    package static let name = ControlOperationName.keyShow
    package var device: DeviceID
    package init(device: DeviceID) { self.device = device }
    package typealias Reply = KeyRecord
}

/// Checks the signatures of active devices, a page of them in the order in which they were enrolled.
package struct KeyAudit: ControlOperation {
    package static let name = ControlOperationName.keyAudit
    /// Continue behind this device.
    package var after: DeviceID?
    package init(after: DeviceID? = nil) { self.after = after }
    package struct Reply: Codable, Sendable {
        package var checked: Int
        /// The devices whose signature is wrong.
        package var wrong: [KeyRecord]
        /// What operators did about keys, the newest first, at most 100; with the first page only.
        package var changes: [AuditRecord]?
        /// Pass as `after` for the next page; absent at the end.
        package var next: DeviceID?
        package init(checked: Int, wrong: [KeyRecord], next: DeviceID?, changes: [AuditRecord]? = nil) {
            self.changes = changes
            self.checked = checked
            self.wrong = wrong
            self.next = next
        }
    }
}
