import FoundationEssentials
import NIOCore
import RelayModel
import RelayStorage
import RelayWire

/// Checks the wrapped keys of a request and packs those of all members into one buffer, of which each member's are a slice.
///
/// Users must ascend, and the devices of each: that nobody is named twice is then seen at a glance, and the store finds a member without
/// searching. Confined to its owner.
struct KeyPacker {
    private var packed = ByteBuffer()
    /// Each member, and where their keys end in `packed`.
    private var ends: [(user: UserID, end: Int)] = []
    private var lastDevice: UInt64 = 0
    private var devices = 0

    /// - Parameters:
    ///   - members: how many there will be.
    ///   - bytes: about how much the packed keys will take; it may be wrong.
    init(members: Int, bytes: Int) throws(WireFailure) {
        guard members <= Limits.chatMembers else { throw .malformed("keys for more than \(Limits.chatMembers) members") }
        guard members > 0 else { return }
        ends.reserveCapacity(members)
        packed.reserveCapacity(bytes)
    }

    /// The keys that follow are for this user's devices.
    mutating func member(_ number: UInt64) throws(WireFailure) {
        let user: UserID = try Checked.id(number, "user_id")
        if let last = ends.last, last.user >= user { throw .malformed("the users of keys must ascend by user_id, each once") }
        ends.append((user, packed.writerIndex))
        lastDevice = 0
        devices = 0
    }

    /// - Parameter version: of the agreement key that it was wrapped to; 0: none is named.
    mutating func add(device number: UInt64, key: UnsafeRawBufferPointer, version: UInt32) throws(WireFailure) {
        let device: DeviceID = try Checked.id(number, "device_id")
        guard number > lastDevice else { throw .malformed("the devices of a user must ascend by device_id, each once") }
        devices += 1
        guard devices <= Limits.devicesPerUserCeiling else {
            throw .malformed("keys for more than \(Limits.devicesPerUserCeiling) devices of a user")
        }
        guard !key.isEmpty, key.count <= Limits.wrappedKeyBytes else {
            throw .malformed("a wrapped key has 1 to \(Limits.wrappedKeyBytes) bytes")
        }
        lastDevice = number
        PackedKeys.write(device, key: key, version: version, into: &packed)
        ends[ends.count - 1].end = packed.writerIndex
    }

    consuming func finish() -> [MemberKeys] {
        var start = 0
        return ends.map { entry in
            defer { start = entry.end }
            return MemberKeys(user: entry.user, keys: PackedKeys(stored: packed.getSlice(at: start, length: entry.end - start) ?? ByteBuffer()))
        }
    }

    /// What SwiftProtobuf has read.
    static func pack(_ wire: [Relay_V1_MemberKeys]) throws(WireFailure) -> [MemberKeys] {
        var packer = try KeyPacker(members: wire.count, bytes: wire.count * 64)
        for member in wire {
            try packer.member(member.userID)
            for wrapped in member.devices {
                // Typed throws do not pass through Foundation's closure.
                let outcome = wrapped.key.withUnsafeBytes { key in
                    Result { () throws(WireFailure) in try packer.add(device: wrapped.deviceID, key: key, version: wrapped.keyVersion) }
                }
                try outcome.get()
            }
        }
        return packer.finish()
    }
}
