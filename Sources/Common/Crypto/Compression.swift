import CZlib

/// zlib (RFC 1950), bounded in both directions.
enum Compression {
    /// The compressed bytes; nil when they would not be fewer.
    static func deflate(_ content: [UInt8]) -> [UInt8]? {
        guard content.count > 1 else { return nil }
        var length = UInt(content.count - 1)
        var succeeded = false
        let compressed = [UInt8](unsafeUninitializedCapacity: content.count - 1) { buffer, filled in
            succeeded = compress2(buffer.baseAddress, &length, content, UInt(content.count), Z_DEFAULT_COMPRESSION) == Z_OK
            filled = succeeded ? Int(length) : 0
        }
        return succeeded ? compressed : nil
    }

    /// Exactly one zlib stream, at most `limit` bytes long once it is inflated: a small bomb costs its receiver no more than that.
    static func inflate(_ compressed: [UInt8], limit: Int) throws(CryptoError) -> [UInt8] {
        var stream = z_stream()
        guard inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { throw .malformed("zlib does not start") }
        defer { inflateEnd(&stream) }
        var input = compressed
        let step = 16 * 1024
        var chunk = [UInt8](repeating: 0, count: step)
        var content: [UInt8] = []
        let inputCount = input.count
        let failure: CryptoError? = input.withUnsafeMutableBufferPointer { source in
            stream.next_in = source.baseAddress
            stream.avail_in = UInt32(inputCount)
            while true {
                let code = chunk.withUnsafeMutableBufferPointer { room in
                    stream.next_out = room.baseAddress
                    stream.avail_out = UInt32(step)
                    return CZlib.inflate(&stream, Z_NO_FLUSH)
                }
                guard code == Z_OK || code == Z_STREAM_END else { return .malformed("the compressed content is broken") }
                content.append(contentsOf: chunk[..<(step - Int(stream.avail_out))])
                guard content.count <= limit else { return .tooLarge }
                if code == Z_STREAM_END { return stream.avail_in == 0 ? nil : .malformed("bytes follow the compressed content") }
            }
        }
        if let failure { throw failure }
        return content
    }
}
