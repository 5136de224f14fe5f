import Glibc
import RelayCrypto
import RelayModel
import RelayStorage

// A new device comes in through one that the user has already: no operator, no invite. The relay passes on what it cannot read, and adds
// the device that the old one names.
extension Directory {
    // MARK: The old device

    package func openLink(_ id: [UInt8], _ principal: Principal) throws(DirectoryError) -> Timestamp {
        guard id.count == 16 else { throw .invalid("a link's id has 16 bytes") }
        return try linking { () throws(LinkRefusal) in try links.open(id, user: principal.user, device: principal.device) }
    }

    /// - Returns: nil when no device has come within the time that a request may wait.
    package func helloOfLink(_ id: [UInt8], _ principal: Principal) async throws(DirectoryError) -> [UInt8]? {
        try await waitingForOther(id, .old) { link, _ throws(LinkRefusal) in
            try Directory.check(principal, link)
            return try link.readHello()
        }
    }

    package func answerLink(_ id: [UInt8], _ sealed: [UInt8], _ principal: Principal) throws(DirectoryError) {
        try Directory.checkMessage(sealed)
        try linking { () throws(LinkRefusal) in
            try links.step(id) { link, _ throws(LinkRefusal) in
                try Directory.check(principal, link)
                try link.leaveAnswer(sealed)
            }
        }
    }

    /// The device is one of the user's when this returns. The same again is fine.
    package func approveLink(_ id: [UInt8], deviceName: String, keys: DeviceKeySet, _ principal: Principal) async throws(DirectoryError) -> Enrolled {
        let deviceName = try Directory.checked(deviceName, "device name", characters: Limits.deviceNameCharacters)
        guard Signing.verifyAgreement(identityKey: keys.identityKey, agreementKey: keys.agreementKey, signature: keys.agreementSignature) else {
            throw .signatureInvalid
        }
        let before = try linking { () throws(LinkRefusal) in
            try links.step(id) { link, _ throws(LinkRefusal) in
                try Directory.check(principal, link)
                return try link.beginApproval(keys)
            }
        }
        if let before { return before }
        let command = LinkDevice(
            user: principal.user, by: principal.device, deviceName: deviceName, keys: keys, devicesPerUser: settings.devicesPerUser)
        let result: Result<Enrolled, DirectoryError>
        do throws(DirectoryError) {
            guard let user = try await readers.look({ try $0.user(principal.user) }) else { throw .rejected(.userUnknown) }
            let actor = Actor(uid: geteuid(), operation: "relayd/link", subject: user.name.text, reason: nil)
            guard case .enrolled(let enrolled) = try await perform(.linkDevice(command), actor: actor, telling: true) else { throw .storeFailed }
            result = .success(enrolled)
        } catch { result = .failure(error) }
        // A link that is gone meanwhile has nobody to be told; the device can ask.
        _ = try? links.step(id) { link, now throws(LinkRefusal) in link.endApproval(try? result.get(), at: now) }
        return try result.get()
    }

    /// - Returns: the number of the part that is taken next: not above `number` when there was no room within the time that a request may wait.
    package func leaveLinkPart(_ id: [UInt8], _ number: Int, _ sealed: [UInt8], _ principal: Principal) async throws(DirectoryError) -> Int {
        guard !sealed.isEmpty, sealed.count <= Limits.linkPartBytes else { throw .invalid("a part has 1 to \(Limits.linkPartBytes) bytes") }
        let next = try await waitingForOther(id, .old) { link, now throws(LinkRefusal) -> Int? in
            try Directory.check(principal, link)
            return try link.leavePart(number, sealed, at: now) ? link.nextPart : nil
        }
        return next ?? number
    }

    /// What the new device says when it has everything.
    package func receiptOfLink(_ id: [UInt8], _ principal: Principal) async throws(DirectoryError) -> [UInt8]? {
        try await waitingForOther(id, .old) { link, _ throws(LinkRefusal) in
            try Directory.check(principal, link)
            return try link.readReceipt()
        }
    }

    package func endLink(_ id: [UInt8], _ principal: Principal) throws(DirectoryError) {
        try linking { () throws(LinkRefusal) in
            try links.step(id) { link, _ throws(LinkRefusal) in
                try Directory.check(principal, link)
                link.end()
            }
        }
    }

    // MARK: The new device

    /// - Parameter claim: 16 bytes that the new device repeats from now on; whoever has others comes too late.
    package func sayHello(_ id: [UInt8], _ sealed: [UInt8], claim: [UInt8]) throws(DirectoryError) -> (expires: Timestamp, resumed: Bool) {
        try Directory.checkMessage(sealed)
        return try linking { () throws(LinkRefusal) in
            try links.step(id) { link, now throws(LinkRefusal) in
                let resumed = try link.sayHello(sealed, claim: claim, at: now)
                return (link.deadline, resumed)
            }
        }
    }

    package func answerOfLink(_ id: [UInt8], claim: [UInt8]) async throws(DirectoryError) -> [UInt8]? {
        try await waitingForOther(id, .new) { link, _ throws(LinkRefusal) in
            try self.check(claim, &link)
            return try link.readAnswer()
        }
    }

    package func approvalOfLink(_ id: [UInt8], claim: [UInt8]) async throws(DirectoryError) -> Enrolled? {
        try await waitingForOther(id, .new) { link, _ throws(LinkRefusal) in
            try self.check(claim, &link)
            return try link.readApproval()
        }
    }

    package func fetchLinkPart(_ id: [UInt8], _ number: Int, claim: [UInt8]) async throws(DirectoryError) -> [UInt8]? {
        try await waitingForOther(id, .new) { link, now throws(LinkRefusal) in
            try self.check(claim, &link)
            return try link.fetchPart(number, at: now)
        }
    }

    package func leaveReceipt(_ id: [UInt8], _ sealed: [UInt8], claim: [UInt8]) throws(DirectoryError) {
        try Directory.checkMessage(sealed)
        try linking { () throws(LinkRefusal) in
            try links.step(id) { link, _ throws(LinkRefusal) in
                try self.check(claim, &link)
                try link.leaveReceipt(sealed)
            }
        }
    }

    package func endLink(_ id: [UInt8], claim: [UInt8]) throws(DirectoryError) {
        try linking { () throws(LinkRefusal) in
            try links.step(id) { link, _ throws(LinkRefusal) in
                try link.checkClaim(claim)
                link.end()
            }
        }
    }

    /// Whether a device was added whose approval never reached it. It proves that the identity key is its own.
    package func linkedDevice(of user: UserID, identityKey: [UInt8], signature: [UInt8]) async throws(DirectoryError) -> Enrolled {
        guard Signing.verify(signature: signature, message: Signing.linkedMessage(user: user), publicKey: identityKey) else {
            throw .signatureInvalid
        }
        let found = try await readers.look { reader -> Enrolled? in
            guard let row = try reader.user(user), let device = try reader.devices(of: user).first(where: { $0.keys.identityKey == identityKey })
            else { return nil }
            return Enrolled(user: user, userName: row.name, device: device.id)
        }
        guard let found else { throw .link(.unknown) }
        return found
    }

    /// Requests that wait for the other device end, and later ones are refused: the relay stops.
    package func stopLinks() { links.stop() }

    // MARK: Steps

    private static func check(_ principal: Principal, _ link: LinkRendezvous) throws(LinkRefusal) {
        // As if it were not there: that somebody else links a device is nobody's business.
        guard link.device == principal.device, link.user == principal.user else { throw .unknown }
    }

    /// An old device that may not act any more will not go on.
    private func check(_ claim: [UInt8], _ link: inout LinkRendezvous) throws(LinkRefusal) {
        try link.checkClaim(claim)
        if refusal(of: link.device) != nil { link.end() }
    }

    private static func checkMessage(_ sealed: [UInt8]) throws(DirectoryError) {
        guard !sealed.isEmpty, sealed.count <= Limits.linkMessageBytes else { throw .invalid("sealed has 1 to \(Limits.linkMessageBytes) bytes") }
    }

    private func linking<Value>(_ body: () throws(LinkRefusal) -> Value) throws(DirectoryError) -> Value {
        do throws(LinkRefusal) { return try body() } catch { throw .link(error) }
    }

    private func waitingForOther<Value: Sendable>(
        _ id: [UInt8], _ side: Links.Side, _ body: (inout LinkRendezvous, Timestamp) throws(LinkRefusal) -> Value?
    ) async throws(DirectoryError) -> Value? {
        do throws(LinkRefusal) { return try await links.wait(id, side, body) } catch { throw .link(error) }
    }
}
