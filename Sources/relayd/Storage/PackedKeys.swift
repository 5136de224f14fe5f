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
