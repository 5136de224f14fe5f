import NIOCore

/// Bytes that fields take when ``FieldWriter`` writes them. As proto3 has it, a number that is 0 and bytes that are empty take none. Pure.
enum FieldSize {
    @inline(__always)
    static func varint(_ value: UInt64) -> Int {
        // Seven bits a byte: 1 + (index of the highest bit) / 7, without a division.
        let highest = 63 - (value | 1).leadingZeroBitCount
        return (highest * 9 + 73) >> 6
    }

    @inline(__always)
    static func number(_ field: UInt8, _ value: UInt64) -> Int { value == 0 ? 0 : 1 + varint(value) }

    @inline(__always)
    static func bytes(_ field: UInt8, _ count: Int) -> Int { count == 0 ? 0 : message(field, count) }

    /// A message field is there even when it is empty.
    @inline(__always)
    static func message(_ field: UInt8, _ count: Int) -> Int { 1 + varint(UInt64(count)) + count }

    static func packed(_ values: some Sequence<UInt64>) -> Int { values.reduce(0) { $0 + varint($1) } }
}

/// Writes the fields of protobuf messages into room that was measured before with ``FieldSize``. Field numbers are below 16, so that a tag is
/// one byte. Writing beyond the room traps. Pure; confined to the closure that lent the room.
struct FieldWriter {
    private let room: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ room: UnsafeMutableRawBufferPointer) { self.room = room }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        precondition(count < room.count)
        room[count] = value
        count += 1
    }

    @inline(__always)
    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func number(_ field: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        byte(field << 3)
        varint(value)
    }

    /// The head of a message, of bytes, or of packed numbers; the caller writes `count` bytes behind it.
    @inline(__always)
    mutating func head(_ field: UInt8, _ count: Int) {
        byte(field << 3 | 2)
        varint(UInt64(count))
    }

    @inline(__always)
    mutating func bytes(_ field: UInt8, _ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        head(field, bytes.count)
        precondition(bytes.count <= room.count - count)
        UnsafeMutableRawBufferPointer(rebasing: room[count..<count + bytes.count]).copyMemory(from: bytes)
        count += bytes.count
    }

    /// - Parameter size: ``FieldSize/packed(_:)`` of the values.
    mutating func packed(_ field: UInt8, _ values: some Sequence<UInt64>, size: Int) {
        guard size > 0 else { return }
        head(field, size)
        for value in values { varint(value) }
    }
}
