/// Why a cryptographic operation gives no result. The texts name no person, device or content.
package enum CryptoError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The signature does not belong to the content, the header or the sender's identity key.
    case signatureInvalid
    /// The body or the wrapped key was changed, or was made for another key or header.
    case openFailed
    /// The bytes do not follow the format; the text says where.
    case malformed(String)
    /// More than the format allows, before or after decompression.
    case tooLarge
    /// No key was wrapped for this device: the message was sent before the device existed.
    case notForThisDevice

    package var description: String {
        switch self {
        case .signatureInvalid: "the signature does not fit the message and the sender's identity key"
        case .openFailed: "the envelope was changed on its way, or was sealed for another key or header"
        case .malformed(let what): "the envelope is malformed: \(what)"
        case .tooLarge: "the content is larger than \(EnvelopeV1.contentBytes) bytes"
        case .notForThisDevice: "the message was not sealed for this device"
        }
    }
}
