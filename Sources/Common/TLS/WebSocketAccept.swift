import COpenSSL

/// The proof a WebSocket server gives in its handshake that it understood the request (RFC 6455, section 4.2.2).
package enum WebSocketAccept {
    /// RFC 6455, section 1.3: the same for every server.
    private static let suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    /// The value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key`. Any thread.
    package static func key(for key: String) -> String {
        var digest = [UInt8](repeating: 0, count: 20)
        var size: UInt32 = 0
        let text = Array((key + suffix).utf8)
        let done = EVP_Digest(text, text.count, &digest, &size, EVP_sha1(), nil)
        // SHA-1 is in every OpenSSL; where a policy switches it off, the empty answer makes the client refuse the connection.
        guard done == 1, size == 20 else { return "" }
        // 20 bytes are 28 characters; OpenSSL adds a zero byte.
        var encoded = [UInt8](repeating: 0, count: 29)
        let length = EVP_EncodeBlock(&encoded, digest, 20)
        return String(decoding: encoded.prefix(Int(max(0, length))), as: UTF8.self)
    }
}
