/// What ``FieldReader`` does not read: malformed bytes, groups, and what is valid but never written by a usual encoder. Says nothing about
/// which of them it was.
struct NotPlain: Error {}

/// Walks over the fields of one protobuf message in place, without allocating. Pure; confined to the closure that lent the bytes.
///
/// It accepts less than protobuf allows, and nothing that protobuf does not: whoever gets ``NotPlain`` asks SwiftProtobuf.
struct FieldReader {
    enum Value {
        /// Wire type 0.
        case number(UInt64)
        /// Wire type 2: where its bytes are, counted as `range` was.
        case bytes(Range<Int>)
        /// Wire types 1 and 5, which no message of the schema has.
        case fixed
    }

    private let bytes: UnsafeRawBufferPointer
    private var index: Int
    private let end: Int

    /// - Parameter range: the message within `bytes`.
    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        index = range.lowerBound
        end = range.upperBound
    }

    /// The next field, with its value consumed; nil at the end of the message.
    @inline(__always)
    mutating func next() throws(NotPlain) -> (field: UInt64, value: Value)? {
        guard index < end else { return nil }
        let tag = try varint()
        // Field numbers have 29 bits, and 0 is none.
        guard tag >= 8, tag <= UInt64(UInt32.max) - 8 else { throw NotPlain() }
        switch tag & 7 {
        case 0: return (tag >> 3, .number(try varint()))
        case 1:
            try skip(8)
            return (tag >> 3, .fixed)
        case 2:
            let length = try varint()
            guard length <= UInt64(end - index) else { throw NotPlain() }
            let start = index
            index += Int(length)
            return (tag >> 3, .bytes(start..<index))
        case 5:
            try skip(4)
            return (tag >> 3, .fixed)
        default: throw NotPlain()
        }
    }

    /// One more number of a packed field; nil at its end.
    mutating func nextPacked() throws(NotPlain) -> UInt64? {
        guard index < end else { return nil }
        return try varint()
    }

    @inline(__always)
    private mutating func varint() throws(NotPlain) -> UInt64 {
        guard index < end else { throw NotPlain() }
        let byte = bytes[index]
        if byte < 0x80 {
            index += 1
            return UInt64(byte)
        }
        return try longVarint()
    }

    private mutating func longVarint() throws(NotPlain) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while index < end {
            let byte = bytes[index]
            index += 1
            // The tenth byte has one bit of the number.
            if shift == 63, byte > 1 { throw NotPlain() }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw NotPlain()
    }

    private mutating func skip(_ count: Int) throws(NotPlain) {
        guard count <= end - index else { throw NotPlain() }
        index += count
    }
}
