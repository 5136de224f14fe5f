import Foundation
import RelayTestSupport

/// Frames of the JSON encoding, as a client without a library would write them.
enum JSONFrames {
    /// A send with keys that have the right form and mean nothing.
    static func send(request: Int, number: Int, chat: String, to devices: [WireDevice]) -> String {
        let key = Data(repeating: 9, count: 48).base64EncodedString()
        let keys = devices.map { "{\"userId\": \"\($0.user)\", \"devices\": [{\"deviceId\": \"\($0.id)\", \"key\": \"\(key)\"}]}" }
        return """
            {"requestId": "\(request)", "send": {"chatId": "\(chat)", "clientMessageId": "\(number)", "body": "AQ==", \
            "keys": [\(keys.joined(separator: ","))]}}
            """
    }
}
