import Foundation
import Synchronization

/// A Unix socket that answers what it is told, whatever it is asked: for everything that relayd would not say.
package final class ScriptedSocket: Sendable {
    package enum Answer: Sendable {
        /// After a whole request came: these bytes, then on to the next request.
        case say(String)
        /// The same, but each byte in a piece of its own.
        case spell(String)
        /// These bytes after a whole request, and then the end.
        case cutOff(String)
        /// Nothing, until the client gives up.
        case silence
    }

    package let path: String
    private let requests = Mutex<[String]>([])
    private let connections = Mutex(0)

    /// - Parameter script: the answers of the first connection, those of the second, ...; behind its last answer a connection ends.
    package init(_ path: String, _ script: [[Answer]]) throws {
        self.path = path
        let listening = try ListeningSocket(path: path)
        let thread = Thread { [self] in
            for answers in script {
                let descriptor = accept(listening.descriptor, nil, nil)
                connections.withLock { $0 += 1 }
                serve(descriptor, answers)
                close(descriptor)
            }
        }
        thread.start()
    }

    /// What was asked so far, head and body.
    package var asked: [String] { requests.withLock { $0 } }
    /// So many connections were made.
    package var accepted: Int { connections.withLock { $0 } }

    private func serve(_ descriptor: Int32, _ answers: [Answer]) {
        for answer in answers {
            guard let request = Self.request(descriptor) else { return }
            requests.withLock { $0.append(request) }
            switch answer {
            case .say(let text): Self.send(Array(text.utf8), descriptor)
            case .spell(let text): for byte in text.utf8 { Self.send([byte], descriptor) }
            case .cutOff(let text): return Self.send(Array(text.utf8), descriptor)
            case .silence:
                var byte: UInt8 = 0
                while recv(descriptor, &byte, 1, 0) > 0 {}
            }
        }
    }

    /// A reply as it should be.
    package static func reply(_ body: String, status: String = "200 OK", fields: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
    }

    /// Nil at the end.
    private static func request(_ descriptor: Int32) -> String? {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            guard recv(descriptor, &byte, 1, 0) == 1 else { return nil }
            bytes.append(byte)
            let text = String(decoding: bytes, as: UTF8.self)
            guard let head = text.range(of: "\r\n\r\n"), let length = text.range(of: "Content-Length: ") else { continue }
            guard let count = Int(text[length.upperBound...].prefix { $0.isNumber }) else { return nil }
            if text[head.upperBound...].utf8.count == count { return text }
        }
    }

    private static func send(_ bytes: [UInt8], _ descriptor: Int32) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
