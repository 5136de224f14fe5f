import NIOCore
import RelayModel
import Testing

@testable import RelayGateway

@Suite struct NetworkAddressTests {
    private func address(_ text: String) throws -> NetworkAddress {
        try #require(NetworkAddress(try SocketAddress(ipAddress: text, port: 1)))
    }

    @Test func version6CountsByItsNetwork() throws {
        #expect(try address("2001:db8:1:2::1") == address("2001:db8:1:2:ffff::2"))
        #expect(try address("2001:db8:1:2::1") != address("2001:db8:1:3::1"))
        #expect(try address("192.0.2.1") != address("192.0.2.2"))
        #expect(try address("192.0.2.1") == address("::ffff:192.0.2.1"))
        // Not the same number in another family.
        #expect(try address("0.0.0.1") != address("0:0:0:1::"))
    }

    @Test func loopbackIsKnown() throws {
        for text in ["127.0.0.1", "127.255.1.2", "::1", "::ffff:127.0.0.1"] { #expect(try address(text).isLoopback, "\(text)") }
        for text in ["128.0.0.1", "::2", "1:0:0:0::1", "::ffff:126.0.0.1"] { #expect(try !address(text).isLoopback, "\(text)") }
        #expect(NetworkAddress(try SocketAddress(unixDomainSocketPath: "/tmp/x")) == nil)
        #expect(NetworkAddress(nil) == nil)
    }
}

@Suite struct MeterTableTests {
    private let rate = Rate(perSecond: 1)
    private func use(_ table: MeterTable<Int, AddressMeter>, _ key: Int, at now: Int64) throws {
        let rate = try #require(rate)
        _ = table.borrow(key, at: now).takeMessage(rate, at: now)
        table.giveBack(key, at: now)
    }

    @Test func whatRemembersNothingIsForgottenAtOnce() throws {
        let table = MeterTable<Int, AddressMeter>()
        _ = table.borrow(1, at: 0)
        #expect(table.count == 1)
        table.giveBack(1, at: 0)
        #expect(table.count == 0)
    }

    @Test func aBucketOutlivesItsBorrowers() throws {
        let table = MeterTable<Int, AddressMeter>()
        let rate = try #require(rate)
        for _ in 0..<60 { try use(table, 1, at: 0) }
        let meter = table.borrow(1, at: 0)
        #expect(meter.takeMessage(rate, at: 0) != nil)
        #expect(table.borrow(1, at: 0) === meter)
    }

    @Test(arguments: [UInt64.random(in: 0...UInt64.max)]) func itStaysBounded(seed: UInt64) throws {
        print("MeterTableTests.itStaysBounded seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let bound = 64
        let table = MeterTable<Int, AddressMeter>(bound: bound)
        var borrowed: [Int: AddressMeter] = [:]
        var now: Int64 = 0
        for _ in 0..<20_000 {
            now += Int64.random(in: 0...50_000_000, using: &generator)
            let key = Int.random(in: 0..<1000, using: &generator)
            switch Int.random(in: 0..<20, using: &generator) {
            case 0 where borrowed.count < 20 && borrowed[key] == nil: borrowed[key] = table.borrow(key, at: now)
            case 1:
                if let (key, meter) = borrowed.first {
                    // What is borrowed is never forgotten.
                    #expect(table.borrow(key, at: now) === meter, "seed \(seed)")
                    table.giveBack(key, at: now)
                    table.giveBack(key, at: now)
                    borrowed[key] = nil
                }
            default: try use(table, key, at: now)
            }
            #expect(table.count <= bound + borrowed.count, "seed \(seed)")
        }
        // After a quiet minute nothing is kept that nobody uses: a sweep finds all of it.
        now += Duration.seconds(Limits.burstSeconds).nanoseconds
        for key in 1000..<1000 + bound { try use(table, key, at: now) }
        for (key, meter) in borrowed { #expect(table.borrow(key, at: now) === meter, "seed \(seed)") }
    }
}

@Suite struct UserMeterTests {
    private let second: Int64 = 1_000_000_000

    @Test func devicesShareTheirUsersBucket() throws {
        let meter = UserMeter()
        let device = try #require(Rate(perSecond: 1, burstSeconds: 3))
        let user = try #require(Rate(perSecond: 1, burstSeconds: 4))
        for _ in 0..<3 { #expect(meter.take(DeviceID(1), device, user, at: 0) == nil) }
        // Its own bucket is empty, and the user's keeps the fourth token.
        #expect(meter.take(DeviceID(1), device, user, at: 0) == second)
        #expect(meter.take(DeviceID(2), device, user, at: 0) == nil)
        #expect(meter.take(DeviceID(2), device, user, at: 0) == second)
        // The refused one took nothing of the device's.
        #expect(meter.take(DeviceID(2), device, nil, at: 0) == nil)
        #expect(meter.take(DeviceID(2), device, nil, at: 0) == nil)
        #expect(meter.take(DeviceID(2), device, nil, at: 0) == second)
        meter.putBack(DeviceID(2), device, nil)
        #expect(meter.take(DeviceID(2), device, nil, at: 0) == nil)
    }

    @Test func bucketsOfFormerDevicesMakeRoom() throws {
        let meter = UserMeter()
        let rate = try #require(Rate(perSecond: 1))
        for number in 1...1000 { #expect(meter.take(DeviceID(UInt64(number)), rate, nil, at: Int64(number) * second) == nil) }
        #expect(!meter.isIdle(at: 1000 * second))
        #expect(meter.isIdle(at: 1001 * second))
    }

    @Test func theThresholdIsReportedOnceInAWindow() {
        let meter = UserMeter()
        var reports: [Int] = []
        for step in 0..<30 { if let count = meter.count(threshold: 5, window: 10 * second, at: Int64(step) * second) { reports.append(count) } }
        // Windows of ten seconds, one message each: three windows.
        #expect(reports == [6, 6, 6])
        #expect(meter.count(threshold: 5, window: 10 * second, at: 40 * second) == nil)
        // An open window is remembered.
        #expect(!meter.isIdle(at: 41 * second))
        #expect(meter.isIdle(at: 50 * second))
    }
}
