import NIOCore
import RelayModel

/// The wrapped keys of one user's devices in one byte string, as a mailbox row holds them:
/// for each device its identifier (8 bytes, big-endian), the key's length (2 bytes, big-endian) and the key. When the length's highest bit is set,
/// the version of the agreement key that it was wrapped to (4 bytes, big-endian) stands before the key.
package struct PackedKeys: Sendable, Codable, Equatable {
    package private(set) var bytes: ByteBuffer

    package init() { bytes = ByteBuffer() }

    /// Bytes that a `PackedKeys` made before.
    package init(stored bytes: ByteBuffer) { self.bytes = bytes }

    private static let versioned: UInt16 = 0x8000

    /// - Parameter version: 0 for none.
    package mutating func append(_ device: DeviceID, key: some Collection<UInt8>, version: UInt32 = 0) {
        PackedKeys.writeHead(device, keyBytes: key.count, version, into: &bytes)
        bytes.writeBytes(key)
    }

    private static func writeHead(_ device: DeviceID, keyBytes: Int, _ version: UInt32, into bytes: inout ByteBuffer) {
        precondition(keyBytes < Int(versioned))
        if version == 0 {
            bytes.writeMultipleIntegers(device.rawValue, UInt16(keyBytes))
        } else {
            bytes.writeMultipleIntegers(device.rawValue, UInt16(keyBytes) | versioned, version)
        }
    }

    /// Appends one device's key to bytes that become a ``PackedKeys`` later, several users' in one buffer.
    package static func write(_ device: DeviceID, key: UnsafeRawBufferPointer, version: UInt32, into bytes: inout ByteBuffer) {
        writeHead(device, keyBytes: key.count, version, into: &bytes)
        bytes.writeBytes(key)
    }

    /// Where one device's key is.
    private struct Entry {
        var device: UInt64
        /// 0: none was named.
        var version: UInt32
        var start: Int
        var length: Int
        /// Where the next entry begins.
        var end: Int { start + length }
    }

    /// Nil at the end. Does not allocate.
    @inline(__always)
    private func entry(at index: Int) -> Entry? {
        guard let device = bytes.getInteger(at: index, as: UInt64.self), let length = bytes.getInteger(at: index + 8, as: UInt16.self) else {
            return nil
        }
        guard length & PackedKeys.versioned != 0 else { return Entry(device: device, version: 0, start: index + 10, length: Int(length)) }
        let version = bytes.getInteger(at: index + 10, as: UInt32.self) ?? 0
        return Entry(device: device, version: version, start: index + 14, length: Int(length & ~PackedKeys.versioned))
    }

    private func entry(for device: DeviceID) -> Entry? {
        var index = bytes.readerIndex
        while let entry = entry(at: index) {
            if entry.device == device.rawValue { return entry }
            index = entry.end
        }
        return nil
    }

    /// The key for one device; nil when there is none.
    package func key(for device: DeviceID) -> ByteBuffer? { entry(for: device).flatMap { bytes.getSlice(at: $0.start, length: $0.length) } }

    /// The version of the agreement key that a device's key was wrapped to; 0 when none was named, or there is no key.
    package func version(for device: DeviceID) -> UInt32 { entry(for: device)?.version ?? 0 }

    package var devices: [DeviceID] {
        var found: [DeviceID] = []
        var index = bytes.readerIndex
        while let entry = entry(at: index) {
            found.append(DeviceID(entry.device))
            index = entry.end
        }
        return found
    }

    /// True when the keys are for exactly these devices, in this order, and wrapped to these versions of their agreement keys or to none that was
    /// named. Does not allocate.
    func fit(_ devices: [DeviceID], versions: [UInt32]) -> Bool {
        var index = bytes.readerIndex
        for (number, device) in devices.enumerated() {
            guard let entry = entry(at: index), entry.device == device.rawValue, entry.version == 0 || entry.version == versions[number] else {
                return false
            }
            index = entry.end
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

    /// Where a member's entry is, its head included; nil when there is none.
    private static func place(of user: UserID, in list: UnsafeRawBufferPointer) -> Range<Int>? {
        var index = 0
        while index + 12 <= list.count {
            let id = UInt64(bigEndian: list.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let length = Int(UInt32(bigEndian: list.loadUnaligned(fromByteOffset: index + 8, as: UInt32.self)))
            guard index + 12 + length <= list.count else { return nil }
            if id == user.rawValue { return index..<index + 12 + length }
            index += 12 + length
        }
        return nil
    }

    static func hasKeys(of user: UserID, in list: UnsafeRawBufferPointer) -> Bool { place(of: user, in: list) != nil }

    /// The list without a member; nil when the member is not in it.
    static func without(_ user: UserID, in list: UnsafeRawBufferPointer) -> [UInt8]? {
        place(of: user, in: list).map { Array(list[..<$0.lowerBound]) + Array(list[$0.upperBound...]) }
    }

    /// The first member of a list; nil when it is empty.
    static func first(in list: [UInt8]) -> UserID? {
        list.count < 8 ? nil : UserID(list.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
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
