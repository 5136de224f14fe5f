import NIOCore
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire
import SwiftProtobuf

/// The old device's side of a link: shows a code, takes one hello, admits the device that said it, and gives it what it needs.
///
/// Until ``admit(_:)`` nothing has changed anywhere; after it the new device is one of the user's, whatever becomes of the rest.
package struct LinkOffering: Sendable {
    private let session: Session
    private let api: LinkAPI
    private let handshake: LinkHandshake.Old
    private let entropy: any Entropy
    package let address: LinkAddress
    package let expires: Timestamp

    /// A device that holds the code.
    package struct Applicant: Sendable {
        package var deviceName: String { hello.deviceName }
        package let session: LinkHandshake.Session
        fileprivate let hello: LinkHandshake.Hello
    }

    package init(_ session: Session, entropy: any Entropy = SystemEntropy()) async throws(ClientError) {
        self.session = session
        self.entropy = entropy
        let account = session.account
        handshake = LinkHandshake.Old(identityKey: await session.keys.identityKey, user: account.user, device: account.device, entropy: entropy)
        let endpoint = session.endpoint
        address = LinkAddress(relay: account.relay, endpoint: endpoint, code: handshake.code)
        let api = LinkAPI(api: RelayAPI(endpoint: endpoint, group: session.loop), id: handshake.code.linkID)
        self.api = api
        do throws(ClientError) {
            expires = try await session.withToken { token throws(ClientError) in
                try await LinkPatience.asking { () throws(ClientError) in try await api.open(token: token) }
            }
        } catch {
            await api.close()
            throw error
        }
    }

    /// Waits for the first device that says hello, and answers it. Once: the answer shows what the code is the hash of.
    package func applicant() async throws(ClientError) -> Applicant {
        let sealed = try await waiting { api, token throws(ClientError) in try await api.hello(token: token) }
        let (hello, answer, shared): (LinkHandshake.Hello, [UInt8], LinkHandshake.Session)
        do throws(CryptoError) { (hello, answer, shared) = try handshake.answer(sealed, entropy: entropy) } catch {
            await end()
            throw .linkBroken(error.description)
        }
        try await asking { api, token throws(ClientError) in try await api.answer(answer, token: token) }
        return Applicant(session: shared, hello: hello)
    }

    /// The person has compared the numbers: the device becomes one of the user's.
    package func admit(_ applicant: Applicant) async throws(ClientError) -> DeviceID {
        let device: DeviceID
        do throws(ClientError) {
            device = try await asking { api, token throws(ClientError) in try await api.approve(applicant.hello, token: token) }
        } catch {
            // The answer may have been lost with the relay that gave it.
            guard case .refused(let refusal) = error, refusal.code == "link_unknown", let found = try await session.ownDevice(applicant.hello)
            else { throw error }
            device = found
        }
        guard device.rawValue > 0 else { throw .protocolViolation("the approval's reply lacks an identifier") }
        try await session.admitted(
            KnownDevice(
                id: device, user: session.account.user, name: applicant.deviceName, identityKey: applicant.hello.identityKey,
                agreementKey: applicant.hello.agreementKey, active: true))
        return device
    }

    /// Gives the admitted device people and chats, with `history` the keys of the messages, and waits until it has them. Everything that was sent
    /// before it was admitted is received first.
    /// - Parameter progress: parts that the relay took, and the keys in all of them.
    package func give(
        _ applicant: Applicant, history: Bool, progress: @Sendable (_ parts: Int, _ keys: Int) -> Void = { _, _ in }
    ) async throws(ClientError) -> (gift: LinkGift, withoutKey: Int) {
        if history { try await session.catchUp() }
        var archive = LinkArchive(history: history)
        var sealer = applicant.session.sealer(.toNew)
        var number = 0
        var keys = 0
        while !archive.isDone {
            guard number < Limits.linkParts else { throw .request("there is more to give than a link takes", hint: "link without --with-history") }
            let (next, part) = try await session.nextPart(archive)
            archive = next
            keys += part.keys.reduce(0) { $0 + $1.chatSeqs.count }
            let bytes: [UInt8]
            do { bytes = try part.serializedBytes() } catch { throw .store("a part cannot be encoded: \(error)") }
            let sealed = sealer.seal(bytes, last: archive.isDone)
            let current = number
            while try await asking({ api, token throws(ClientError) in try await api.leave(sealed, current, token: token) }) <= current {}
            number += 1
            progress(number, keys)
        }
        let receipt = try await waiting { api, token throws(ClientError) in try await api.receipt(token: token) }
        var opener = applicant.session.opener(.toOld)
        do throws(CryptoError) { _ = try opener.open(receipt) } catch { throw .linkBroken(error.description) }
        guard opener.isComplete else { throw .linkBroken("the receipt is cut") }
        await end()
        let withoutKey = history ? try await session.read { state throws(ClientError) in try state.storing { try state.messagesWithoutKey() } } : 0
        return (LinkGift(archive.summary), withoutKey)
    }

    /// Ends the link: no device is admitted any more. Tried once: when the relay does not hear of it, time ends the link.
    package func end() async {
        let api = api
        try? await session.withToken { token throws(ClientError) in try await api.end(token: token) }
    }

    package func close() async { await api.close() }

    private func asking<Answer: Sendable>(
        _ ask: @escaping @Sendable (LinkAPI, String) async throws(ClientError) -> Answer
    ) async throws(ClientError) -> Answer {
        let api = api
        return try await session.withToken { token throws(ClientError) in
            try await LinkPatience.asking { () throws(ClientError) in try await ask(api, token) }
        }
    }

    private func waiting<Answer: Sendable>(
        _ ask: @escaping @Sendable (LinkAPI, String) async throws(ClientError) -> Answer?
    ) async throws(ClientError) -> Answer {
        while true {
            if let answer = try await asking(ask) { return answer }
        }
    }
}

/// What a link needs of the session of the device that offers it.
extension Session {
    /// The new device's keys came from itself and are pinned; from now on everything is sealed for it, too.
    func admitted(_ device: KnownDevice) throws(ClientError) {
        let state = try working()
        try state.transaction { try state.pin(device) }
        knownRecipients = [:]
    }

    /// The user's device of these keys, if the relay has it.
    func ownDevice(_ hello: LinkHandshake.Hello) async throws(ClientError) -> DeviceID? {
        let (api, user) = (api, account.user)
        let own = try await withToken { token throws(ClientError) in try await api.user(user, token: token) }
        return own.devices.first { Array($0.keys.identityKey) == hello.identityKey }.map { DeviceID($0.deviceID) }
    }

    /// Everything that is in the mailbox now is in the history.
    func catchUp() async throws(ClientError) {
        await goOffline()
        start()
        try await waitUntilCaughtUp(timeout: Limits.clientLinkCatchUp)
    }

    func nextPart(_ archive: LinkArchive) throws(ClientError) -> (LinkArchive, Relay_Client_V1_LinkPart) {
        let state = try working()
        var archive = archive
        let part = try state.transaction { try archive.next(state) }
        return (archive, part)
    }
}
