import RelayModel

/// What kind of thing a column of the store holds.
package enum ColumnContent: String, Sendable, CaseIterable {
    /// Names that people gave, and references to them.
    case name
    /// A number of a user, device, chat or invite.
    case identity
    /// Which of them have to do with each other.
    case relation
    /// Sealed by clients: bodies, wrapped keys, what stands beside them.
    case sealed
    /// Public keys and their signatures.
    case publicKey = "public_key"
    /// The hash of a secret, or under one.
    case hash
    /// When, how far, how many.
    case progress
    /// What an operator decided, and why.
    case decision
}

extension Schema {
    /// Every column that the store may have, and what it holds. A column that is not here is a finding of `chatctl privacy audit`, and a test
    /// compares this with what the migrations make.
    static let contents: [String: [String: ColumnContent]] = [
        "meta": ["key": .progress, "value": .progress],
        "users": [
            "user_id": .identity, "name": .name, "display_name": .name, "avatar": .name, "removed": .progress, "suspended": .decision,
            "suspended_reason": .decision, "no_limits": .decision, "contacts_floor": .progress, "keys_version": .progress,
            "retention_class": .decision, "hides": .progress, "last_seen_ms": .progress,
        ],
        "invites": ["invite_id": .identity, "user_id": .identity, "hash": .hash, "expires_ms": .progress, "state": .progress],
        "devices": [
            "device_id": .identity, "user_id": .identity, "name": .name, "identity_key": .publicKey, "agreement_key": .publicKey,
            "agreement_signature": .publicKey, "revoked": .progress, "agreement_version": .progress, "agreement_ms": .progress,
        ],
        "progress": ["device_id": .identity, "mailbox_seq": .progress, "client_message_id": .progress],
        "contacts": [
            "user_id": .relation, "peer_id": .relation, "relation": .relation, "blocks": .relation, "is_blocked": .relation, "category": .name,
            "decided": .progress, "version": .progress,
        ],
        "prekeys": [
            "device_id": .identity, "kind": .progress, "key_id": .progress, "key": .publicKey, "signature": .publicKey, "expires_ms": .progress,
            "since_ms": .progress,
        ],
        "one_time_prekeys": ["device_id": .identity, "key_id": .progress, "key": .publicKey],
        "key_progress": ["device_id": .identity, "highest_one_time_id": .progress, "changes": .progress, "window_ms": .progress],
        "chats": [
            "chat_id": .identity, "kind": .progress, "user_low": .relation, "user_high": .relation, "member_count": .progress,
            "floor_seq": .progress, "floor_id": .progress,
        ],
        "members": [
            "chat_id": .relation, "user_id": .relation, "joined_seq": .progress, "joined_id": .progress, "left_seq": .progress,
            "left_id": .progress, "role": .relation,
        ],
        "messages": [
            "message_id": .identity, "chat_id": .relation, "seq": .progress, "kind": .progress, "user_id": .relation, "device_id": .relation,
            "client_message_id": .progress, "extra": .sealed, "keys": .sealed, "body": .sealed,
        ],
        "message_keys": ["chat_id": .relation, "seq": .progress, "first_user_id": .relation, "keys": .sealed],
        "hidden": ["user_id": .relation, "chat_id": .relation, "seq": .progress],
        "receipts": ["chat_id": .relation, "user_id": .relation, "delivered_seq": .progress, "read_seq": .progress, "version": .progress],
        "audit": [
            "stamp": .progress, "number": .progress, "uid": .decision, "operation": .decision, "result": .decision, "missed": .progress,
            "subject": .name, "reason": .decision, "salt": .hash, "commitment": .hash, "hash": .hash,
        ],
        "erasures": [
            "user_id": .identity, "asked_ms": .progress, "due_ms": .progress, "uid": .decision, "began": .progress, "name": .name,
            "display_name": .name, "step": .progress, "first": .progress, "second": .progress,
        ],
        "erased_rows": ["user_id": .identity, "part": .progress, "rows": .progress],
        "retention_policies": [
            "class": .decision, "delivered_days": .decision, "undelivered_days": .decision, "user_bytes": .decision, "once_delivered": .decision,
        ],
        "purges": ["stamp": .progress, "entry": .progress, "hash": .progress],
        "alerts": [
            "alert_id": .progress, "kind": .progress, "user_id": .identity, "device_id": .identity, "count": .progress, "figure": .progress,
            "first_ms": .progress, "last_ms": .progress, "over_ms": .progress, "acknowledged_ms": .progress,
        ],
        "load_days": [
            "day": .progress, "minutes": .progress, "busiest": .progress, "failures": .progress, "undelivered": .progress, "store_bytes": .progress,
        ],
        "people_periods": [
            "metric": .progress, "start": .progress, "clamp": .decision, "epsilon": .decision, "bin": .decision, "threshold": .decision,
            "minimum_users": .decision, "key": .hash,
        ],
        "people_tallies": ["metric": .progress, "start": .progress, "person": .hash, "part": .hash, "tally": .progress],
        "people_releases": [
            "metric": .progress, "start": .progress, "state": .progress, "value": .progress, "clamp": .decision, "epsilon": .decision,
            "bin": .decision, "threshold": .decision, "algorithm": .progress,
        ],
        "people_gates": ["start": .progress, "passes": .progress, "epsilon": .decision, "minimum_users": .decision],
    ]
}

extension Schema {
    /// Triggers that the store may have; another one could copy what it sees.
    static let triggers: Set<String> = [
        "people_releases_stay", "people_releases_remain", "people_gates_stay", "people_gates_remain", "audit_stays", "audit_remains",
    ]
}

/// What the store may have.
package enum SchemaInventory {
    package static var triggers: Set<String> { Schema.triggers }
    /// By table and column: what it holds.
    package static var contents: [String: [String: ColumnContent]] { Schema.contents }
}
