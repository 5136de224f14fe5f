import RelayCrypto
import RelayModel

/// The secrets of a device: its identity, the agreement key that others wrap keys for, the one that is to replace it, and those that it replaced.
///
/// All of them stand in one file, which is replaced as a whole, and nothing about them stands in the database: so there is no moment in which a crash
/// leaves one of the two behind the other. The orders that matter are between the file and the relay (a new secret is on the disk before the relay
/// hears of its key) and between the database and the file (a former secret goes after what was sealed for it is stored).
package struct KeyRing: Sendable {
    struct Former: Sendable {
        var version: UInt32
        var secret: AgreementSecret
        var since: Timestamp
        /// Until then the relay takes what is sealed for it.
        var until: Timestamp
    }

    struct Pending: Sendable {
        var secret: AgreementSecret
        var since: Timestamp
        var grace: Duration
    }

    /// The identity, and the current agreement key.
    package private(set) var device: DeviceSecrets
    /// As the relay counts the device's agreement keys.
    package private(set) var version: UInt32
    /// When the current key was drawn, by this device's clock. 0: by a client that did not note it.
    package private(set) var since: Timestamp
    /// The newest first; at most ``Limits/formerKeys``.
    private(set) var former: [Former]
    /// On the disk, and perhaps with the relay, whose answer is not here.
    private(set) var pending: Pending?

    package init(_ device: DeviceSecrets, since: Timestamp) {
        self.init(device: device, version: 1, since: since, former: [], pending: nil)
    }

    init(device: DeviceSecrets, version: UInt32, since: Timestamp, former: [Former], pending: Pending?) {
        self.device = device
        self.version = version
        self.since = since
        self.former = former
        self.pending = pending
    }

    package var identityKey: [UInt8] { device.identityKey }

    /// The relay went back in its counting: others know a key of this number or a higher one, and do not take this one for a newer.
    var isBehindItself: Bool { former.contains { $0.version >= version } }

    // MARK: Opening

    /// The secrets that may open a key that was wrapped to this version. A version that is not known here, and 0, may mean any of them.
    func candidates(for version: UInt32) -> [AgreementSecret] {
        let current = device.agreementSecret
        if version > 0 {
            let named = (version == self.version ? [current] : []) + former.filter { $0.version == version }.map(\.secret)
            if !named.isEmpty { return named }
        }
        return [current] + (pending.map { [$0.secret] } ?? []) + former.map(\.secret)
    }

    // MARK: Replacing the agreement key

    /// Draws the key that is to replace the current one. To be written before anybody hears of it.
    mutating func begin(grace: Duration, at now: Timestamp, _ entropy: any Entropy) {
        pending = Pending(secret: .generate(entropy), since: now, grace: grace)
    }

    /// What tells the relay of the pending key. To repeat it is harmless.
    var publication: (key: [UInt8], signature: [UInt8], grace: Duration)? {
        guard let pending else { return nil }
        return (pending.secret.publicKey, device.sign(Signing.agreementMessage(agreementKey: pending.secret.publicKey)), pending.grace)
    }

    /// The relay has the pending key under this number. The grace began when the relay took it, which was not later than now.
    mutating func complete(version new: UInt32, at now: Timestamp) {
        guard let pending else { return }
        former.insert(Former(version: version, secret: device.agreementSecret, since: since, until: now + pending.grace), at: 0)
        // The relay has ended the grace of the oldest ones, too.
        former.removeLast(max(0, former.count - Limits.formerKeys))
        device = device.replacingAgreement(with: pending.secret)
        version = new
        since = pending.since
        self.pending = nil
    }

    /// Former secrets whose grace was over then.
    mutating func forgetFormer(endedBy moment: Timestamp) { former.removeAll { $0.until <= moment } }
    mutating func forgetFormer() { former = [] }

    // MARK: Looking

    /// The keys without their secrets: the pending one, the current one, former ones.
    package var records: [AgreementKeyRecord] {
        var records: [AgreementKeyRecord] = []
        if let pending {
            records.append(AgreementKeyRecord(version: nil, agreementKey: pending.secret.publicKey, since: pending.since, stage: .pending))
        }
        records.append(AgreementKeyRecord(version: version, agreementKey: device.agreementKey, since: since, stage: .current))
        for one in former {
            records.append(
                AgreementKeyRecord(version: one.version, agreementKey: one.secret.publicKey, since: one.since, stage: .former(until: one.until)))
        }
        return records
    }
}

/// An agreement key of this device, as it may be shown.
package struct AgreementKeyRecord: Sendable, Equatable {
    package enum Stage: Sendable, Equatable {
        /// The relay may not have it yet.
        case pending
        case current
        /// Others may seal for it until then; the secret goes once the mailbox has been received after that.
        case former(until: Timestamp)
    }
    /// As the relay counts; nil until it has said so.
    package var version: UInt32?
    package var agreementKey: [UInt8]
    /// When it was drawn; 0: not known.
    package var since: Timestamp
    package var stage: Stage

    package init(version: UInt32?, agreementKey: [UInt8], since: Timestamp, stage: Stage) {
        self.version = version
        self.agreementKey = agreementKey
        self.since = since
        self.stage = stage
    }
}

// MARK: The file

extension KeyRing {
    /// Of the clients before keys could change: the seed of the identity and the agreement secret follow.
    static let firstHeader = Array("relayd-client-keys-1\n".utf8)
    /// The seed of the identity follows, the number of agreement keys in one byte, and for each of them one byte that says what it is, its version (4
    /// bytes, big-endian), two times or spans in milliseconds (8 bytes each) and its secret.
    static let header = Array("relayd-client-keys-2\n".utf8)
    private static let secretBytes = 32
    private static let entryBytes = 1 + 4 + 8 + 8 + secretBytes
    /// The current key, a pending one, former ones.
    private static let entries = 2 + Limits.formerKeys
    static let fileBytes = header.count + secretBytes + 1 + entries * entryBytes

    private enum Mark: UInt8 { case current = 1, former, pending }

    /// Wipe it after use.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        // All at once: an array that grows leaves a copy behind.
        bytes.reserveCapacity(KeyRing.fileBytes)
        var (seed, current) = device.copySecrets()
        defer {
            wipe(&seed)
            wipe(&current)
        }
        bytes += KeyRing.header
        bytes += seed
        bytes.append(UInt8(1 + former.count + (pending == nil ? 0 : 1)))
        func append(_ mark: Mark, _ version: UInt32, _ first: Int64, _ second: Int64, _ secret: [UInt8]) {
            bytes.append(mark.rawValue)
            withUnsafeBytes(of: version.bigEndian) { bytes += $0 }
            withUnsafeBytes(of: first.bigEndian) { bytes += $0 }
            withUnsafeBytes(of: second.bigEndian) { bytes += $0 }
            bytes += secret
        }
        append(.current, version, since.milliseconds, 0, current)
        if let pending {
            var secret = pending.secret.copyBytes()
            defer { wipe(&secret) }
            append(.pending, 0, pending.since.milliseconds, pending.grace.milliseconds, secret)
        }
        for one in former {
            var secret = one.secret.copyBytes()
            defer { wipe(&secret) }
            append(.former, one.version, one.since.milliseconds, one.until.milliseconds, secret)
        }
        return bytes
    }

    /// Nil when it is no key file of this client. The caller wipes the bytes.
    init?(encoded bytes: [UInt8]) {
        if bytes.starts(with: KeyRing.firstHeader) {
            var rest = bytes[KeyRing.firstHeader.count...]
            guard rest.count == 2 * KeyRing.secretBytes else { return nil }
            var seed = KeyRing.take(KeyRing.secretBytes, from: &rest)
            var agreement = KeyRing.take(KeyRing.secretBytes, from: &rest)
            defer {
                wipe(&seed)
                wipe(&agreement)
            }
            guard let device = try? DeviceSecrets(identitySeed: seed, agreementSecret: agreement) else { return nil }
            self.init(device, since: Timestamp(milliseconds: 0))
            return
        }
        guard bytes.starts(with: KeyRing.header) else { return nil }
        var rest = bytes[KeyRing.header.count...]
        guard rest.count > KeyRing.secretBytes else { return nil }
        var seed = KeyRing.take(KeyRing.secretBytes, from: &rest)
        defer { wipe(&seed) }
        let count = Int(rest.removeFirst())
        guard count > 0, count <= KeyRing.entries, rest.count == count * KeyRing.entryBytes else { return nil }
        var current: (device: DeviceSecrets, version: UInt32, since: Timestamp)?
        var former: [Former] = []
        var pending: Pending?
        let plausible = Int64(0)...(1 << 53)
        for _ in 0..<count {
            guard let mark = Mark(rawValue: rest.removeFirst()) else { return nil }
            let version = UInt32(truncatingIfNeeded: KeyRing.number(4, from: &rest))
            let first = Timestamp(milliseconds: Int64(bitPattern: KeyRing.number(8, from: &rest)))
            let second = Int64(bitPattern: KeyRing.number(8, from: &rest))
            // Nothing that is reckoned with these may overflow.
            guard plausible.contains(first.milliseconds), plausible.contains(second) else { return nil }
            var secret = KeyRing.take(KeyRing.secretBytes, from: &rest)
            defer { wipe(&secret) }
            switch mark {
            case .current:
                guard current == nil, let device = try? DeviceSecrets(identitySeed: seed, agreementSecret: secret) else { return nil }
                current = (device, version, first)
            case .former:
                guard let agreement = try? AgreementSecret(secret) else { return nil }
                former.append(Former(version: version, secret: agreement, since: first, until: Timestamp(milliseconds: second)))
            case .pending:
                guard pending == nil, (0...Limits.keyGraceCeiling.milliseconds).contains(second), let agreement = try? AgreementSecret(secret)
                else { return nil }
                pending = Pending(secret: agreement, since: first, grace: .milliseconds(second))
            }
        }
        guard let current, former.count <= Limits.formerKeys else { return nil }
        self.init(device: current.device, version: current.version, since: current.since, former: former, pending: pending)
    }

    private static func take(_ count: Int, from bytes: inout ArraySlice<UInt8>) -> [UInt8] {
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    private static func number(_ count: Int, from bytes: inout ArraySlice<UInt8>) -> UInt64 {
        take(count, from: &bytes).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
