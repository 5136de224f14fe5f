import NIOCore
import RelayCrypto
import RelayModel
import RelayWire
import SwiftProtobuf

/// The new device's side of a link.
package enum LinkJoining {
    /// What is told meanwhile.
    package enum Progress: Sendable {
        /// What the person types on the old device.
        case number(String)
        /// From here on the device can be used.
        case admitted(Account)
        case received(parts: Int, keys: Int)
    }

    package struct Outcome: Sendable {
        package var account: Account
        /// Nil when the device was admitted and got nothing.
        package var gift: LinkGift?
        /// Why it got nothing, or not all.
        package var problem: ClientError?
    }

    /// Makes a device of the user whose other device shows the code. The keys are on disk before anybody hears of them; when this is interrupted,
    /// either nothing was added, or calling it again with the same directory finds out that it was.
    package static func join(
        _ address: LinkAddress, deviceName: String, directory: StateDirectory, group: any EventLoopGroup, entropy: any Entropy = SystemEntropy(),
        progress: @Sendable (Progress) -> Void
    ) async throws(ClientError) -> Outcome {
        let (state, secrets) = try ClientState.create(directory, relay: address.relay, deviceName: deviceName, entropy: entropy)
        try directory.keep(address.endpoint)
        let device = NewDevice(
            state: state, secrets: secrets, address: address, name: deviceName,
            api: LinkAPI(api: RelayAPI(endpoint: address.endpoint, group: group), id: address.code.linkID))
        let result: Result<Outcome, ClientError>
        do throws(ClientError) { result = .success(try await device.join(entropy, progress)) } catch { result = .failure(error) }
        await device.api.close()
        return try result.get()
    }
}

/// One attempt. Confined to the task that makes it.
private struct NewDevice {
    let state: ClientState
    let secrets: DeviceSecrets
    let address: LinkAddress
    let name: String
    let api: LinkAPI

    func join(_ entropy: any Entropy, _ progress: (LinkJoining.Progress) -> Void) async throws(ClientError) -> LinkJoining.Outcome {
        if let account = try await enrolledBefore() {
            progress(.admitted(account))
            return LinkJoining.Outcome(
                account: account, problem: .request("an earlier attempt had admitted this device, but was interrupted", hint: nil))
        }
        let handshake = LinkHandshake.New(code: address.code, device: secrets, deviceName: name, entropy: entropy)
        let claim = LinkAPI.claim(LinkHandshake.claim(address.code, of: secrets))
        let hello = handshake.sealedHello(entropy)
        // A repetition of the same request, because its answer was lost, is no earlier attempt.
        var asked = 0
        let resumed = try await LinkPatience.asking { () throws(ClientError) in
            asked += 1
            return try await api.say(hello: hello, claim: claim)
        }
        if resumed, asked == 1 {
            try? await api.end(claim: claim)
            throw .request(
                "an earlier attempt with this code was interrupted; nothing was added", hint: "begin again on the old device, with a new code")
        }
        let answer = try await LinkPatience.waiting { () throws(ClientError) in try await api.answer(claim: claim) }
        let (offer, shared): (LinkHandshake.Offer, LinkHandshake.Session)
        do throws(CryptoError) { (offer, shared) = try handshake.read(answer: answer) } catch {
            try? await api.end(claim: claim)
            throw .linkBroken(error.description)
        }
        try state.transaction { try state.expect(offer.user) }
        progress(.number(shared.number))
        let account = try await admitted(claim, offer)
        progress(.admitted(account))
        do throws(ClientError) {
            return LinkJoining.Outcome(account: account, gift: try await receive(claim, shared, progress))
        } catch {
            try state.transaction { try state.dropGivenKeys() }
            return LinkJoining.Outcome(account: account, problem: error)
        }
    }

    /// The relay may have added this device in an attempt that never heard of it.
    private func enrolledBefore() async throws(ClientError) -> Account? {
        guard let user = try state.transaction({ try state.expectedUser() }) else { return nil }
        let found = try await LinkPatience.asking { () throws(ClientError) in try await api.device(of: user, secrets: secrets) }
        guard let found else { return nil }
        return try complete(found, user)
    }

    private func admitted(_ claim: String, _ offer: LinkHandshake.Offer) async throws(ClientError) -> Account {
        let reply: Relay_V1_EnrolReply
        do throws(ClientError) {
            reply = try await LinkPatience.waiting { () throws(ClientError) in try await api.approval(claim: claim) }
        } catch {
            // A relay that was started again knows nothing of the link, but it knows its devices.
            guard case .refused(let refusal) = error, refusal.code == "link_unknown", let account = try await enrolledBefore() else { throw error }
            return account
        }
        let account = try complete(reply, offer.user)
        let own = secrets.publicKeys
        try state.transaction {
            // What is known from the devices themselves; the relay cannot put others in their place. The old one's agreement key comes later.
            try state.pin(
                KnownDevice(
                    id: account.device, user: account.user, name: name, identityKey: own.identityKey, agreementKey: own.agreementKey, active: true))
            try state.pin(
                KnownDevice(id: offer.device, user: offer.user, name: "", identityKey: offer.identityKey, agreementKey: [], active: false))
        }
        return account
    }

    private func complete(_ reply: Relay_V1_EnrolReply, _ user: UserID) throws(ClientError) -> Account {
        guard reply.userID == user.rawValue, reply.deviceID > 0, !reply.userName.isEmpty else {
            throw .protocolViolation("the device was added for somebody else, or without an identifier")
        }
        try state.completeEnrolment(user: user, name: reply.userName, device: DeviceID(reply.deviceID))
        return Account(relay: address.relay, user: user, userName: reply.userName, device: DeviceID(reply.deviceID), deviceName: name)
    }

    private func receive(
        _ claim: String, _ shared: LinkHandshake.Session, _ progress: (LinkJoining.Progress) -> Void
    ) async throws(ClientError) -> LinkGift {
        var opener = shared.opener(.toNew)
        var number = 0
        var keys = 0
        var gift: LinkGift?
        var ends: [ChatID: UInt64] = [:]
        while !opener.isComplete {
            let current = number
            let sealed = try await LinkPatience.waiting { () throws(ClientError) in try await api.part(current, claim: claim) }
            let bytes: [UInt8]
            do throws(CryptoError) { bytes = try opener.open(sealed) } catch { throw .linkBroken(error.description) }
            guard let part = try? Relay_Client_V1_LinkPart(serializedBytes: bytes) else { throw .linkBroken("a part cannot be read") }
            if part.hasSummary { gift = LinkGift(part.summary) }
            keys += part.keys.reduce(0) { $0 + $1.chatSeqs.count }
            for chat in part.chats where chat.lastSeq > 0 { ends[ChatID(chat.chatID)] = chat.lastSeq }
            try state.transaction { try state.store(part) }
            number += 1
            progress(.received(parts: number, keys: keys))
        }
        guard let gift else { throw .linkBroken("the summary is missing") }
        try state.transaction { try state.finishLinking(ends) }
        // All is here, and stays: that the old device may not hear of it changes nothing.
        var sealer = shared.sealer(.toOld)
        let receipt = sealer.seal([], last: true)
        try? await LinkPatience.asking { () throws(ClientError) in try await api.leave(receipt: receipt, claim: claim) }
        return gift
    }
}
