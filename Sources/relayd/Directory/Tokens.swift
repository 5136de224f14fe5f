import RelayCrypto
import RelayModel

/// Challenges and bearer tokens: stateless, sealed with a key that lives as long as the process.
///
/// A token is version (1 byte), user, device, expiry in milliseconds (8 bytes each, big-endian) and the keyed BLAKE2b-256 of those, in
/// base64url. A challenge is built alike from the device, the expiry and 16 random bytes. After a restart devices sign in again,
/// which costs one signature check each; in return no secret is kept on the disk. Any thread.
struct Tokens: Sendable {
    private let key: [UInt8]
    private let entropy: any Entropy
    private let clock: any WallClock
    private let tokenLifetime: Duration

    init(entropy: any Entropy, clock: any WallClock, tokenLifetime: Duration) {
        key = entropy.bytes(32)
        self.entropy = entropy
        self.clock = clock
        self.tokenLifetime = tokenLifetime
    }

    private static let tokenVersion: UInt8 = 1
    private static let challengeVersion: UInt8 = 2
    private static let tokenBytes = 1 + 3 * 8
    private static let challengeBytes = 1 + 2 * 8 + 16
    private static let macBytes = 32

    func issue(user: UserID, device: DeviceID) -> IssuedToken {
        let expires = clock.now() + tokenLifetime
        let content = [Tokens.tokenVersion] + user.rawValue.bigEndianBytes + device.rawValue.bigEndianBytes + expires.bigEndianBytes
        return IssuedToken(token: Base64URL.encode(content + Hashing.keyed(content, key: key)), expires: expires)
    }

    func check(_ bearer: String) throws(DirectoryError) -> (user: UserID, device: DeviceID) {
        guard bearer.utf8.count <= 128, let bytes = Base64URL.decode(bearer), bytes.count == Tokens.tokenBytes + Tokens.macBytes,
            bytes[0] == Tokens.tokenVersion
        else { throw .unauthorized }
        let content = Array(bytes.prefix(Tokens.tokenBytes))
        guard Hashing.equal(Hashing.keyed(content, key: key), Array(bytes.dropFirst(Tokens.tokenBytes))) else { throw .unauthorized }
        let expires = Timestamp(milliseconds: Int64(bitPattern: UInt64(bigEndianBytes: content[17..<25])))
        guard clock.now() < expires else { throw .tokenExpired }
        return (UserID(UInt64(bigEndianBytes: content[1..<9])), DeviceID(UInt64(bigEndianBytes: content[9..<17])))
    }

    func challenge(for device: DeviceID) -> IssuedChallenge {
        let expires = clock.now() + Limits.challengeLifetime
        let content = [Tokens.challengeVersion] + device.rawValue.bigEndianBytes + expires.bigEndianBytes + entropy.bytes(16)
        return IssuedChallenge(bytes: content + Hashing.keyed(content, key: key), expires: expires)
    }

    /// - Throws: `challengeExpired` for one that is too old, for another device, or not ours.
    func check(challenge: [UInt8], for device: DeviceID) throws(DirectoryError) {
        guard challenge.count == Tokens.challengeBytes + Tokens.macBytes, challenge[0] == Tokens.challengeVersion else { throw .challengeExpired }
        let content = Array(challenge.prefix(Tokens.challengeBytes))
        guard Hashing.equal(Hashing.keyed(content, key: key), Array(challenge.dropFirst(Tokens.challengeBytes))),
            UInt64(bigEndianBytes: content[1..<9]) == device.rawValue,
            clock.now() < Timestamp(milliseconds: Int64(bitPattern: UInt64(bigEndianBytes: content[9..<17])))
        else { throw .challengeExpired }
    }
}

extension UInt64 {
    fileprivate var bigEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> (56 - 8 * $0)) } }

    fileprivate init(bigEndianBytes bytes: ArraySlice<UInt8>) { self = bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

extension Timestamp {
    fileprivate var bigEndianBytes: [UInt8] { UInt64(bitPattern: milliseconds).bigEndianBytes }
}

/// RFC 4648 §5 without padding.
enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for character in text.utf8 {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        // One canonical text for each value: the bits that are left over must be zero, and fewer than a character's.
        guard count < 6, bits & ((1 << UInt32(count)) - 1) == 0 else { return nil }
        return bytes
    }
}
