import Glibc
import NIOPosix
import RelayClient
import RelayControl
import RelayCrypto
import RelayHTTP
import RelayModel
import RelayWire
import Synchronization

/// A device of a throw-away user, and what connecting it takes.
struct BenchAccount: Sendable {
    var user: UserID
    var device: DeviceID
    /// Lives for ``Limits/tokenLifetime``.
    var token: String
}

/// The throw-away users of a run: added and enrolled before it, removed after it, several at a time.
final class BenchPopulation: Sendable {
    /// Users that are added or removed at the same time: as many as keep relayd's group commit and both sides' signatures busy on a small
    /// machine; more only make them wait for each other, and leave relayd with a larger heap.
    static let workers = 16

    private let tag: String
    /// One for each worker; nothing is opened before it is used.
    private let controls: [ControlClient]
    private let apis: [RelayAPI]
    private let added = Mutex<[String]>([])

    init(socket: String, endpoint: Endpoint) {
        controls = (0..<BenchPopulation.workers).map { _ in ControlClient(socket: socket) }
        apis = (0..<BenchPopulation.workers).map { _ in RelayAPI(endpoint: endpoint, group: MultiThreadedEventLoopGroup.singleton) }
        tag = "bench-\(getpid())-\(UInt32.random(in: .min ... .max))"
    }

    /// Limits are for people: a load is meant to be more than one may send.
    private static func user(_ name: String) -> UserAdd { UserAdd(user: name, noLimits: true) }

    /// Adds so many users and enrols a device for each.
    func add(_ count: Int) async throws -> [BenchAccount] { try await add(count, devices: 1).flatMap { $0 } }

    /// Adds so many users and enrols so many devices for each; the devices of each user, in the order of their identifiers.
    func add(_ count: Int, devices: Int) async throws -> [[BenchAccount]] {
        let start = added.withLock { $0.count }
        return try await inParallel(count, "adding users") { [self] number, control, api in
            let name = "\(tag)-\(start + number)"
            let reply = try await control.call(BenchPopulation.user(name))
            added.withLock { $0.append(name) }
            var accounts = [try await BenchPopulation.enrol(reply.invite.code, api)]
            while accounts.count < devices {
                accounts.append(try await BenchPopulation.enrol(try await control.call(InviteCreate(user: name)).code, api))
            }
            return accounts
        }
    }

    /// Adds a user whose first device can sign: for one of them only, as secrets are kept in memory that is locked.
    func addOwner() async throws -> (account: BenchAccount, secrets: DeviceSecrets) {
        let secrets = DeviceSecrets.generate(SystemEntropy())
        let name = "\(tag)-owner"
        let reply = try await controls[0].call(BenchPopulation.user(name))
        added.withLock { $0.append(name) }
        return (try await BenchPopulation.enrol(reply.invite.code, apis[0], secrets), secrets)
    }

    /// Adds so many users, with so many devices each, that are contacts of the owner, and further devices of the owner. Gives the devices of all of
    /// them.
    func addContacts(_ count: Int, devices: Int, ownerDevices: Int) async throws -> [BenchAccount] {
        let owner = "\(tag)-owner"
        let start = added.withLock { $0.count }
        let others = try await add(count, devices: devices).flatMap { $0 }
        _ = try await inParallel(count, "introducing users") { [self] number, control, _ in
            try await control.call(ContactAdd(user: owner, peer: "\(tag)-\(start + number)", reason: "chatctl bench"))
        }
        var own: [BenchAccount] = []
        while own.count < ownerDevices {
            own.append(try await BenchPopulation.enrol(try await controls[0].call(InviteCreate(user: owner)).code, apis[0]))
        }
        return own + others
    }

    /// Adds so many users with a device each, who are contacts of those next to them in a ring, and the first so many of the owner's.
    func addRing(_ count: Int, contacts: Int, ofOwner: Int) async throws -> [BenchAccount] {
        let start = added.withLock { $0.count }
        let accounts = try await add(count)
        _ = try await inParallel(count, "introducing users") { [self] number, control, _ in
            var peers = (1...contacts / 2).map { "\(tag)-\(start + (number + $0) % count)" }
            if number < ofOwner { peers.append("\(tag)-owner") }
            for peer in peers { _ = try await control.call(ContactAdd(user: "\(tag)-\(start + number)", peer: peer, reason: "chatctl bench")) }
        }
        return accounts
    }

    private static func enrol(
        _ code: String, _ api: RelayAPI, _ secrets: DeviceSecrets = DeviceSecrets.generate(SystemEntropy())
    ) async throws -> BenchAccount {
        let enrolled = try await api.enrol(code: code, deviceName: "bench", secrets: secrets)
        let device = DeviceID(enrolled.deviceID)
        let token = try await api.token(device: device, secrets: secrets)
        return BenchAccount(user: UserID(enrolled.userID), device: device, token: token.token)
    }

    /// Opens a chat between the two of each pair; gives the chats in the same order.
    func openChats(_ pairs: [(BenchAccount, BenchAccount)]) async throws -> [UInt64] {
        try await inParallel(pairs.count, "opening chats") { number, _, api in
            try await api.openChat(with: pairs[number].1.user, token: pairs[number].0.token).chatID
        }
    }

    /// Removes all that were added, also when one of them cannot be removed. The population is of no use afterwards.
    func remove() async throws {
        let names = added.withLock { names in
            defer { names = [] }
            return names
        }
        let failures = try await inParallel(names.count, "removing users") { number, control, _ -> ControlError? in
            do {
                _ = try await control.call(UserRemove(user: names[number], reason: "end of chatctl bench"))
            } catch let error as ControlError {
                return error.code == .notFound ? nil : error
            }
            return nil
        }
        for api in apis { await api.close() }
        if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
    }

    /// Runs `body` once for each number, several at a time, each with connections of its own; the results in the numbers' order.
    private func inParallel<Result: Sendable>(
        _ count: Int, _ doing: String, _ body: @escaping @Sendable (Int, ControlClient, RelayAPI) async throws -> Result
    ) async throws -> [Result] {
        let turns = BenchTurns(count)
        defer { Talk.endProgress() }
        return try await withThrowingTaskGroup(of: [(Int, Result)].self) { group in
            for (control, api) in zip(controls, apis).prefix(count) {
                group.addTask {
                    var results: [(Int, Result)] = []
                    while !Task.isCancelled, let number = turns.take() {
                        if number % 100 == 0 { Talk.progress("\(doing): \(Figures.count(number)) of \(Figures.count(count))") }
                        results.append((number, try await body(number, control, api)))
                    }
                    return results
                }
            }
            var all: [(Int, Result)] = []
            for try await results in group { all += results }
            return all.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
