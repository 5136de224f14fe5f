import RelayModel
import RelaySQLite
import RelayWire
import SwiftProtobuf

/// How the kind of a place stands in the table `history`: a number, and the event as it came.
enum HistoryRow {
    static let technical: Int64 = 5

    static func number(_ kind: HistoryEntry.Kind) -> Int64 {
        switch kind {
        case .message: 0
        case .change: 1
        case .deletion: 2
        case .deleted(forEveryone: true): 3
        case .deleted(forEveryone: false): 4
        case .technical: technical
        }
    }

    static func event(_ kind: HistoryEntry.Kind) throws -> [UInt8]? {
        switch kind {
        case .message, .deleted, .technical: return nil
        case .change(let change): return try change.wire.serializedBytes()
        case .deletion(let seqs):
            var deletion = Relay_V1_Deletion()
            deletion.chatSeqs = seqs
            return try deletion.serializedBytes()
        }
    }

    /// Nil when the row is damaged: it was written by this client or an older one, so what it cannot read is not as it was written.
    static func kind(_ number: Int64, _ event: [UInt8]) -> HistoryEntry.Kind? {
        switch number {
        case 0: return .message
        case 1: return (try? Relay_V1_GroupEvent(serializedBytes: event)).flatMap { GroupChangeRecord($0) }.map { .change($0) }
        case 2: return (try? Relay_V1_Deletion(serializedBytes: event)).map { .deletion($0.chatSeqs) }
        case 3: return .deleted(forEveryone: true)
        case 4: return .deleted(forEveryone: false)
        case technical: return .technical
        default: return nil
        }
    }
}

extension GroupChangeRecord {
    /// Nil for an action that this client does not know.
    init?(_ wire: Relay_V1_GroupEvent) {
        guard let action = GroupAction(rawValue: UInt8(clamping: wire.action.rawValue)) else { return nil }
        self.init(action: action, users: wire.userIds.map { UserID($0) }, role: GroupRole(wire.role))
    }

    var wire: Relay_V1_GroupEvent {
        var event = Relay_V1_GroupEvent()
        event.action = Relay_V1_GroupAction(action)
        event.userIds = users.map(\.rawValue)
        if let role { event.role = Relay_V1_GroupRole(role) }
        return event
    }
}

extension GroupRole {
    init?(_ wire: Relay_V1_GroupRole) { self.init(rawValue: UInt8(clamping: wire.rawValue)) }
}

extension Relay_V1_GroupRole {
    init(_ role: GroupRole) { self = Self(rawValue: Int(role.rawValue)) ?? .unspecified }
}

extension Relay_V1_GroupAction {
    init(_ action: GroupAction) { self = Self(rawValue: Int(action.rawValue)) ?? .unspecified }
}
