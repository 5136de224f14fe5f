import RelayModel
import RelayStorage
import RelayTestSupport
import Testing

@testable import RelayDirectory

/// The state machine of a link, without a relay.
@Suite struct LinkRendezvousTests {
    private static let start = Timestamp(milliseconds: 1_790_000_000_000)
    private static let claim = [UInt8](repeating: 1, count: 16)
    private static let otherClaim = [UInt8](repeating: 2, count: 16)

    private static func keys(_ byte: UInt8) -> DeviceKeySet {
        DeviceKeySet(
            identityKey: [UInt8](repeating: byte, count: 32), agreementKey: [UInt8](repeating: byte, count: 32),
            agreementSignature: [UInt8](repeating: byte, count: 64))
    }

    private static let enrolled = Enrolled(user: UserID(1), userName: UserName(checked: "alice"), device: DeviceID(9))

    private func link() -> LinkRendezvous { LinkRendezvous(user: UserID(1), device: DeviceID(2), at: Self.start) }

    private func approved() throws -> LinkRendezvous {
        var link = link()
        _ = try link.sayHello([1], claim: Self.claim, at: Self.start)
        try link.leaveAnswer([2])
        _ = try link.beginApproval(Self.keys(3))
        link.endApproval(Self.enrolled, at: Self.start)
        return link
    }

    @Test func stepsInTheirOrder() throws {
        var link = link()
        #expect(try link.readHello() == nil)
        #expect(throws: LinkRefusal.notReady) { try link.leaveAnswer([2]) }
        #expect(throws: LinkRefusal.notReady) { try link.beginApproval(Self.keys(3)) }
        #expect(throws: LinkRefusal.notReady) { try link.leavePart(0, [1], at: Self.start) }
        #expect(throws: LinkRefusal.notReady) { try link.checkClaim(Self.claim) }
        #expect(try !link.sayHello([1], claim: Self.claim, at: Self.start))
        #expect(try link.readHello() == [1])
        #expect(throws: LinkRefusal.notReady) { try link.beginApproval(Self.keys(3)) }
        #expect(try link.readAnswer() == nil)
        try link.leaveAnswer([2])
        try link.leaveAnswer([2])
        #expect(throws: LinkRefusal.used) { try link.leaveAnswer([3]) }
        #expect(try link.readAnswer() == [2])
        #expect(throws: LinkRefusal.notReady) { try link.fetchPart(0, at: Self.start) }
        #expect(throws: LinkRefusal.notReady) { try link.leaveReceipt([4]) }
        #expect(try link.beginApproval(Self.keys(3)) == nil)
        #expect(try link.readApproval() == nil)
        link.endApproval(Self.enrolled, at: Self.start)
        #expect(try link.readApproval()?.device == DeviceID(9))
        #expect(try link.beginApproval(Self.keys(3))?.device == DeviceID(9))
        #expect(throws: LinkRefusal.used) { try link.beginApproval(Self.keys(4)) }
        try link.leaveReceipt([4])
        #expect(try link.readReceipt() == [4])
    }

    @Test func theFirstOfTwoNewDevicesHasTheLink() throws {
        var link = link()
        #expect(try !link.sayHello([1], claim: Self.claim, at: Self.start))
        #expect(throws: LinkRefusal.used) { try link.sayHello([2], claim: Self.otherClaim, at: Self.start) }
        #expect(throws: LinkRefusal.used) { try link.checkClaim(Self.otherClaim) }
        // The same again: what it says now is left aside.
        #expect(try link.sayHello([3], claim: Self.claim, at: Self.start))
        #expect(try link.readHello() == [1])
    }

    @Test func aRefusedApprovalCanBeMadeForOtherKeys() throws {
        var link = link()
        _ = try link.sayHello([1], claim: Self.claim, at: Self.start)
        try link.leaveAnswer([2])
        _ = try link.beginApproval(Self.keys(3))
        link.endApproval(nil, at: Self.start)
        #expect(try link.beginApproval(Self.keys(4)) == nil)
    }

    @Test func timeEndsIt() throws {
        var link = link()
        link.look(at: Self.start + Limits.linkLifetime + .milliseconds(-1))
        #expect(link.ending == nil)
        link.look(at: Self.start + Limits.linkLifetime)
        #expect(link.ending == .expired)
        #expect(throws: LinkRefusal.expired) { try link.sayHello([1], claim: Self.claim, at: Self.start) }

        // What moves has its time again, but not for ever.
        var moving = try approved()
        var now = Self.start
        var number = 0
        while moving.ending == nil, number < 1000 {
            now = now + .seconds(300)
            moving.look(at: now)
            guard moving.ending == nil else { break }
            _ = try moving.leavePart(number, [1], at: now)
            number += 1
            _ = try moving.fetchPart(number, at: now)
        }
        #expect(now == Self.start + Limits.linkDuration)
        #expect(moving.heldParts == 0)
        #expect(try moving.readApproval()?.device == DeviceID(9), "a device that was added gets to know it also afterwards")
        #expect(throws: LinkRefusal.expired) { try moving.leavePart(number, [1], at: now) }
    }

    @Test func thereIsRoomForFourParts() throws {
        var link = try approved()
        for number in 0..<Limits.linkPartsHeld { #expect(try link.leavePart(number, [UInt8(number)], at: Self.start)) }
        #expect(try !link.leavePart(Limits.linkPartsHeld, [9], at: Self.start))
        // A repetition changes nothing.
        #expect(try link.leavePart(0, [77], at: Self.start))
        #expect(try link.fetchPart(0, at: Self.start) == [0])
        #expect(try link.fetchPart(0, at: Self.start) == [0])
        #expect(try link.fetchPart(1, at: Self.start) == [1])
        #expect(throws: LinkRefusal.self) { try link.fetchPart(0, at: Self.start) }
        #expect(throws: LinkRefusal.self) { try link.fetchPart(5, at: Self.start) }
        #expect(try link.leavePart(Limits.linkPartsHeld, [4], at: Self.start))
        #expect(throws: LinkRefusal.self) { try link.leavePart(7, [7], at: Self.start) }
        #expect(throws: LinkRefusal.self) { try link.leavePart(-1, [7], at: Self.start) }
        #expect(throws: LinkRefusal.self) { try link.leavePart(Limits.linkParts, [7], at: Self.start) }
    }

    /// Any order of what two new devices, the old one and the clock do: nothing is lost, changed, given twice or to the wrong one, and nothing is
    /// kept beyond its bounds.
    @Test(arguments: 0..<200 as Range<UInt64>) func anyOrder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var link = link()
        var now = Self.start
        var left: [[UInt8]] = []
        var fetched: [[UInt8]] = []
        var hello: [UInt8]?
        var device: DeviceID?
        var over = false
        for step in 0..<400 {
            let bytes = [UInt8(truncatingIfNeeded: step), UInt8.random(in: 0...255, using: &random)]
            do throws(LinkRefusal) {
                switch Int.random(in: 0..<(step < 20 ? 10 : 14), using: &random) {
                case 0:
                    let resumed = try link.sayHello(bytes, claim: Self.claim, at: now)
                    #expect(resumed == (hello != nil))
                    if !resumed { hello = bytes }
                case 1:
                    let before = link
                    if hello != nil {
                        do throws(LinkRefusal) {
                            try link.checkClaim(Self.otherClaim)
                            Issue.record("seed \(seed): another device was let in")
                        } catch { #expect(error == .used) }
                    }
                    #expect(before.changes == link.changes)
                case 2: if let read = try link.readHello() { #expect(read == hello) }
                case 3: try link.leaveAnswer([2])
                case 4: if try link.readAnswer() != nil { #expect(hello != nil) }
                case 5:
                    if try link.beginApproval(Self.keys(3)) == nil {
                        // The store may refuse.
                        let refused = Bool.random(using: &random)
                        link.endApproval(refused ? nil : Self.enrolled, at: now)
                        if !refused { device = DeviceID(9) }
                    }
                case 6: #expect(try link.readApproval()?.device == device)
                case 7...8:
                    let number = max(0, left.count + Int.random(in: -2...1, using: &random))
                    let taken = try link.leavePart(number, bytes, at: now)
                    #expect(device != nil && number <= left.count)
                    if taken, number == left.count { left.append(bytes) }
                case 9...11:
                    let number = max(0, fetched.count + Int.random(in: -1...1, using: &random))
                    guard let part = try link.fetchPart(number, at: now) else {
                        #expect(number == left.count)
                        break
                    }
                    #expect(part == left[number])
                    if number == fetched.count { fetched.append(part) }
                case 12: now = now + .seconds(Int64.random(in: 0...200, using: &random))
                default: if step > 380 { link.end() }
                }
            } catch {
                if over { #expect(error == .expired || error == .ended || error == .used, "seed \(seed): \(error)") }
            }
            link.look(at: now)
            #expect(link.heldParts <= Limits.linkPartsHeld)
            #expect(link.deadline <= Self.start + Limits.linkDuration)
            over = link.ending != nil
            if over { #expect(link.heldParts == 0 && link.hello == nil && link.answer == nil) }
        }
        #expect(fetched == Array(left.prefix(fetched.count)), "seed \(seed)")
    }
}

/// Waiting for the other side, and the bounds of all links.
@Suite struct LinksTests {
    private let clock = ManualWallClock(Timestamp(milliseconds: 1_790_000_000_000))

    private func id(_ number: Int) -> [UInt8] { (0..<16).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 % 8))) } }

    @Test(.timeLimit(.minutes(10))) func whoWaitsIsWoken() async throws {
        let links = Links(clock: clock, patience: .seconds(300))
        _ = try links.open(id(1), user: UserID(1), device: DeviceID(2))
        async let hello = links.wait(id(1), .old) { link, _ throws(LinkRefusal) in try link.readHello() }
        _ = try links.step(id(1)) { link, now throws(LinkRefusal) in try link.sayHello([5], claim: id(7), at: now) }
        #expect(try await hello == [5])
        let answer = Task { try await links.wait(id(1), .new) { link, _ throws(LinkRefusal) in try link.readAnswer() } }
        try links.step(id(1)) { link, _ throws(LinkRefusal) in link.end() }
        await #expect(throws: LinkRefusal.ended) { try await answer.value }
    }

    @Test(.timeLimit(.minutes(10))) func waitingEndsByItself() async throws {
        let links = Links(clock: clock, patience: .milliseconds(5))
        _ = try links.open(id(1), user: UserID(1), device: DeviceID(2))
        #expect(try await links.wait(id(1), .old) { link, _ throws(LinkRefusal) in try link.readHello() } == nil)
        await #expect(throws: LinkRefusal.unknown) { _ = try await links.wait(id(2), .old) { link, _ throws(LinkRefusal) in try link.readHello() } }
    }

    @Test(.timeLimit(.minutes(10))) func stoppingWakesEverybody() async throws {
        let links = Links(clock: clock, patience: .seconds(300))
        _ = try links.open(id(1), user: UserID(1), device: DeviceID(2))
        let hello = Task { try await links.wait(id(1), .old) { link, _ throws(LinkRefusal) in try link.readHello() } }
        links.stop()
        await #expect(throws: LinkRefusal.stopping) { try await hello.value }
        #expect(throws: LinkRefusal.stopping) { try links.open(id(2), user: UserID(1), device: DeviceID(2)) }
    }

    /// Nobody but the one who waits has to do with that link again. Others end until it is forgotten.
    @Test(.timeLimit(.minutes(10))) func whoeverWaitsIsWokenWhenTheLinkExpires() async throws {
        let links = Links(clock: clock, patience: .seconds(3600))
        _ = try links.open(id(1), user: UserID(1), device: DeviceID(2))
        let hello = Task { try await links.wait(id(1), .old) { link, _ throws(LinkRefusal) in try link.readHello() } }
        while links.held.waiting == 0 { await Task.yield() }
        clock.advance(by: Limits.linkLifetime)
        _ = try links.open(id(2), user: UserID(3), device: DeviceID(4))
        #expect(links.held.waiting == 0)
        await #expect(throws: LinkRefusal.expired) { try await hello.value }
    }

    @Test func linksAreBounded() throws {
        let links = Links(clock: clock, patience: .milliseconds(1))
        for number in 0..<Limits.linksPerUser { _ = try links.open(id(number), user: UserID(1), device: DeviceID(2)) }
        #expect(throws: LinkRefusal.limit) { try links.open(id(100), user: UserID(1), device: DeviceID(2)) }
        // The same again is no other one; somebody else's is taken.
        _ = try links.open(id(0), user: UserID(1), device: DeviceID(2))
        #expect(throws: LinkRefusal.used) { try links.open(id(0), user: UserID(3), device: DeviceID(4)) }
        try links.step(id(0)) { link, _ throws(LinkRefusal) in link.end() }
        _ = try links.open(id(100), user: UserID(1), device: DeviceID(2))
        for number in 0..<(Limits.links - Limits.linksPerUser) {
            _ = try links.open(id(1000 + number), user: UserID(UInt64(10 + number)), device: DeviceID(2))
        }
        #expect(throws: LinkRefusal.limit) { try links.open(id(5000), user: UserID(9), device: DeviceID(2)) }
        #expect(links.held.links == Limits.links)
        clock.advance(by: Limits.linkLifetime)
        _ = try links.open(id(5000), user: UserID(9), device: DeviceID(2))
        #expect(links.held.links == 1)
        // What is over says so for a while.
        #expect(throws: LinkRefusal.expired) { try links.step(id(100)) { link, _ throws(LinkRefusal) in try link.readHello() } }
    }

    @Test func whatIsOverIsForgottenAtLast() throws {
        let links = Links(clock: clock, patience: .milliseconds(1))
        for number in 0...Limits.linksEnded {
            _ = try links.open(id(number), user: UserID(1), device: DeviceID(2))
            try links.step(id(number)) { link, _ throws(LinkRefusal) in link.end() }
        }
        #expect(throws: LinkRefusal.unknown) { try links.step(id(0)) { link, _ throws(LinkRefusal) in try link.readHello() } }
        #expect(throws: LinkRefusal.ended) { try links.step(id(1)) { link, _ throws(LinkRefusal) in try link.readHello() } }
    }
}
