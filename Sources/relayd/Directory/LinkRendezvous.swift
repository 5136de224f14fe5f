import RelayCrypto
import RelayModel
import RelayStorage

/// Why a step of a link is refused.
package enum LinkRefusal: Error, Sendable, Equatable {
    case unknown
    case expired
    /// Another device came first.
    case used
    /// One of the two devices ended it.
    case ended
    /// The other device has not come so far.
    case notReady
    /// Too many at once, of this user or of all.
    case limit
    /// A part that is not the next one, or too long.
    case part(String)
    case stopping
}

/// Two devices of one user meet here to become known to each other: what each said, waiting for the other to fetch it. A pure value that knows
/// neither sockets nor the store; what is in it is sealed between the devices.
///
///     opened ── hello ──▶ said hello ── answer ──▶ answered ── approve ──▶ approved ── parts … ── receipt ──▶ received
///
/// Any device may end it at any point, and time does. Every step may be repeated with the same bytes, because an answer may be lost.
struct LinkRendezvous: Sendable {
    enum Ending: Sendable, Equatable {
        case expired
        case ended
    }

    let user: UserID
    /// The device that opened it: nobody else may act for the old side.
    let device: DeviceID
    private let openedAt: Timestamp
    private(set) var deadline: Timestamp
    private(set) var ending: Ending?

    /// Whoever said hello first: 16 bytes that nobody else knows.
    private var claim: [UInt8]?
    private(set) var hello: [UInt8]?
    private(set) var answer: [UInt8]?
    private(set) var approvedKeys: DeviceKeySet?
    private(set) var enrolled: Enrolled?
    private var parts: [[UInt8]] = []
    /// The number of the first part in `parts`: all before it are fetched.
    private(set) var firstPart = 0
    private(set) var receipt: [UInt8]?
    /// Rises with everything that the other side may wait for.
    private(set) var changes: UInt64 = 0

    init(user: UserID, device: DeviceID, at now: Timestamp) {
        self.user = user
        self.device = device
        openedAt = now
        deadline = now + Limits.linkLifetime
    }

    var nextPart: Int { firstPart + parts.count }
    var heldParts: Int { parts.count }

    // MARK: Time and end

    /// Looks at the clock; what has expired keeps nothing.
    mutating func look(at now: Timestamp) {
        if ending == nil, now >= deadline { close(.expired) }
    }

    mutating func end() { if ending == nil { close(.ended) } }

    private mutating func close(_ how: Ending) {
        ending = how
        changes += 1
        hello = nil
        answer = nil
        parts = []
        receipt = nil
    }

    private func checkOpen() throws(LinkRefusal) {
        switch ending {
        case nil: return
        case .expired: throw .expired
        case .ended: throw .ended
        }
    }

    /// A step forward gives the next one its time.
    private mutating func moved(at now: Timestamp) { deadline = min(now + Limits.linkLifetime, openedAt + Limits.linkDuration) }

    // MARK: The new device

    /// - Returns: true when this device said hello before: what it says now is left aside.
    mutating func sayHello(_ sealed: [UInt8], claim: [UInt8], at now: Timestamp) throws(LinkRefusal) -> Bool {
        if let known = self.claim {
            guard Hashing.equal(known, claim) else { throw .used }
            // Also when all is over: what became of it can still be asked.
            if ending != .expired || enrolled != nil { return true }
        }
        try checkOpen()
        self.claim = claim
        hello = sealed
        changes += 1
        return false
    }

    func checkClaim(_ claim: [UInt8]) throws(LinkRefusal) {
        guard let known = self.claim else {
            try checkOpen()
            throw .notReady
        }
        guard Hashing.equal(known, claim) else { throw .used }
    }

    func readAnswer() throws(LinkRefusal) -> [UInt8]? {
        try checkOpen()
        return answer
    }

    /// Also when the link is over: a device that was added must get to know it.
    func readApproval() throws(LinkRefusal) -> Enrolled? {
        if let enrolled { return enrolled }
        try checkOpen()
        return nil
    }

    /// - Returns: nil while it is not there. Asking for a part says that all before it have arrived.
    mutating func fetchPart(_ number: Int, at now: Timestamp) throws(LinkRefusal) -> [UInt8]? {
        try checkOpen()
        guard enrolled != nil else { throw .notReady }
        guard number >= firstPart, number <= nextPart else { throw .part("parts are fetched in their order: \(firstPart) to \(nextPart) can be now") }
        if number > firstPart {
            parts.removeFirst(number - firstPart)
            firstPart = number
            changes += 1
            moved(at: now)
        }
        return parts.first
    }

    mutating func leaveReceipt(_ sealed: [UInt8]) throws(LinkRefusal) {
        try checkOpen()
        guard enrolled != nil else { throw .notReady }
        guard receipt == nil else { return }
        receipt = sealed
        changes += 1
    }

    // MARK: The old device

    func readHello() throws(LinkRefusal) -> [UInt8]? {
        try checkOpen()
        return hello
    }

    mutating func leaveAnswer(_ sealed: [UInt8]) throws(LinkRefusal) {
        try checkOpen()
        guard hello != nil else { throw .notReady }
        guard answer == nil || answer == sealed else { throw .used }
        answer = sealed
        changes += 1
    }

    /// Before the store is asked to add the device. The same keys may be approved again, others may not.
    /// - Returns: the device when it was added before.
    mutating func beginApproval(_ keys: DeviceKeySet) throws(LinkRefusal) -> Enrolled? {
        if let enrolled, approvedKeys == keys { return enrolled }
        try checkOpen()
        guard answer != nil else { throw .notReady }
        guard approvedKeys == nil || approvedKeys == keys else { throw .used }
        approvedKeys = keys
        return nil
    }

    /// The store has added the device, or refused. It may have taken so long that the link ended meanwhile; the device is there all the same.
    mutating func endApproval(_ enrolled: Enrolled?, at now: Timestamp) {
        if let enrolled {
            self.enrolled = enrolled
            changes += 1
            moved(at: now)
        } else if self.enrolled == nil {
            approvedKeys = nil
        }
    }

    /// - Returns: false while there is no room.
    mutating func leavePart(_ number: Int, _ sealed: [UInt8], at now: Timestamp) throws(LinkRefusal) -> Bool {
        try checkOpen()
        guard enrolled != nil else { throw .notReady }
        guard number >= 0, number < Limits.linkParts else { throw .part("a link has at most \(Limits.linkParts) parts") }
        guard number <= nextPart else { throw .part("parts come in their order: the next one is \(nextPart)") }
        // A repetition, because the answer was lost.
        guard number == nextPart else { return true }
        guard parts.count < Limits.linkPartsHeld else { return false }
        parts.append(sealed)
        changes += 1
        moved(at: now)
        return true
    }

    func readReceipt() throws(LinkRefusal) -> [UInt8]? {
        if let receipt { return receipt }
        try checkOpen()
        return nil
    }
}
