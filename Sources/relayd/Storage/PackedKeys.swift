import NIOCore
import RelayModel

/// The wrapped keys of one user's devices in one byte string, as a mailbox row holds them:
/// for each device its identifier (8 bytes, big-endian), the key's length (2 bytes, big-endian) and the key.
package struct PackedKeys: Sendable, Codable, Equatable {
    package private(set) var bytes: ByteBuffer

    package init() { bytes = ByteBuffer() }

    /// Bytes that a `PackedKeys` made before.
    package init(stored bytes: ByteBuffer) { self.bytes = bytes }

    package mutating func append(_ device: DeviceID, key: some Collection<UInt8>) {
        precondition(key.count <= Int(UInt16.max))
        bytes.writeInteger(device.rawValue)
        bytes.writeInteger(UInt16(key.count))
        bytes.writeBytes(key)
    }

    /// Appends one device's key to bytes that become a ``PackedKeys`` later, several users' in one buffer.
    package static func write(_ device: DeviceID, key: UnsafeRawBufferPointer, into bytes: inout ByteBuffer) {
        precondition(key.count <= Int(UInt16.max))
        bytes.writeMultipleIntegers(device.rawValue, UInt16(key.count))
        bytes.writeBytes(key)
    }

    /// The key for one device; nil when there is none.
    package func key(for device: DeviceID) -> ByteBuffer? {
        var index = bytes.readerIndex
        while let id = bytes.getInteger(at: index, as: UInt64.self), let length = bytes.getInteger(at: index + 8, as: UInt16.self) {
            if id == device.rawValue { return bytes.getSlice(at: index + 10, length: Int(length)) }
            index += 10 + Int(length)
        }
        return nil
    }

    package var devices: [DeviceID] {
        var found: [DeviceID] = []
        var index = bytes.readerIndex
        while let id = bytes.getInteger(at: index, as: UInt64.self), let length = bytes.getInteger(at: index + 8, as: UInt16.self) {
            found.append(DeviceID(id))
            index += 10 + Int(length)
        }
        return found
    }
}

extension PackedKeys {
    /// True when the keys are for exactly these devices, in this order. Does not allocate.
    func fit(_ devices: [DeviceID]) -> Bool {
        var index = bytes.readerIndex
        for device in devices {
            guard let id = bytes.getInteger(at: index, as: UInt64.self), id == device.rawValue,
                let length = bytes.getInteger(at: index + 8, as: UInt16.self)
            else { return false }
            index += 10 + Int(length)
        }
        return index == bytes.writerIndex
    }
}

/// The packed keys of several members in one byte string, as a message's row holds them: for each member the user's identifier (8 bytes,
/// big-endian), the length of the packed keys (4 bytes, big-endian) and the keys, in the order of the users' identifiers.
enum MemberKeyList {
    static func write(_ keys: some Collection<MemberKeys>, to buffer: inout ByteBuffer) {
        for entry in keys {
            buffer.writeInteger(entry.user.rawValue)
            buffer.writeInteger(UInt32(entry.keys.bytes.readableBytes))
            buffer.writeImmutableBuffer(entry.keys.bytes)
        }
    }

    /// One member's keys; empty ones when there are none.
    static func keys(of user: UserID, in list: UnsafeRawBufferPointer) -> PackedKeys {
        var index = 0
        while index + 12 <= list.count {
            let id = UInt64(bigEndian: list.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let length = Int(UInt32(bigEndian: list.loadUnaligned(fromByteOffset: index + 8, as: UInt32.self)))
            index += 12
            guard index + length <= list.count else { break }
            if id == user.rawValue { return PackedKeys(stored: ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: list[index..<index + length]))) }
            index += length
        }
        return PackedKeys()
    }
}

/// Events and deletions as a message's row holds them.
enum ExtraBytes {
    /// What the `kind` column says.
    enum Kind: Int64 {
        case message = 0
        case group = 1
        case deletion = 2
        case deleted = 3
    }

    /// One byte each for action and role (0: none), then the users, 8 bytes each, big-endian; a deletion has its chat and its sequences, 8 bytes each.
    static func write(_ extra: EnvelopeExtra, to buffer: inout ByteBuffer) {
        switch extra {
        case .group(let event):
            buffer.writeInteger(event.action.rawValue)
            buffer.writeInteger(event.role?.rawValue ?? 0)
            for user in event.users { buffer.writeInteger(user.rawValue) }
        case .deletion(let deletion):
            buffer.writeInteger(deletion.chat.rawValue)
            for seq in deletion.seqs { buffer.writeInteger(seq) }
        case .deleted, .gone: break
        }
    }

    /// Nil for a message.
    static func read(_ kind: Int64, _ bytes: ByteBuffer) -> EnvelopeExtra? {
        var bytes = bytes
        switch Kind(rawValue: kind) {
        case .group:
            guard let action = bytes.readInteger(as: UInt8.self).flatMap(GroupAction.init), let role = bytes.readInteger(as: UInt8.self) else {
                return nil
            }
            return .group(GroupEvent(action: action, users: rest(&bytes).map { UserID($0) }, role: GroupRole(rawValue: role)))
        case .deletion:
            guard let chat = bytes.readInteger(as: UInt64.self) else { return nil }
            return .deletion(Deletion(chat: ChatID(chat), seqs: rest(&bytes)))
        case .deleted: return .deleted
        case .message, nil: return nil
        }
    }

    private static func rest(_ bytes: inout ByteBuffer) -> [UInt64] {
        var numbers: [UInt64] = []
        numbers.reserveCapacity(bytes.readableBytes / 8)
        while let number = bytes.readInteger(as: UInt64.self) { numbers.append(number) }
        return numbers
    }
}
