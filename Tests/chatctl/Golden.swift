import Foundation
import RelayModel
import RelayTestSupport
import Testing

@testable import ChatctlCommands

/// Texts that are kept in `Tests/chatctl/golden`, byte for byte. `UPDATE_GOLDEN=1` writes the files anew: look at the difference before you commit it.
enum Golden {
    static let now = Timestamp(milliseconds: 1_795_253_400_250)

    /// A reply as a page, as a page with colours, and as JSON.
    static func check<Reply: Encodable>(_ name: String, _ reply: Reply, page: (inout Page) -> Void) throws {
        for (json, color, ending) in [(false, false, "txt"), (false, true, "color"), (true, false, "json")] {
            let output = Output(json: json, color: color, terminal: false, now: now)
            try compare(try output.text(reply, page: page), "\(name).\(ending)")
        }
    }

    static func compare(_ text: String, _ name: String) throws {
        let path = "\(Programs.repository)/Tests/chatctl/golden/\(name)"
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil { try text.write(toFile: path, atomically: true, encoding: .utf8) }
        let expected = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text == expected, "golden/\(name)")
    }
}
