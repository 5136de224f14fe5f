import RelayCrypto
import RelayModel
import RelaySQLite

/// Whether a person has made sure that somebody's devices are somebody's: bound to the keys, not to the name.
package enum Verification: Sendable, Equatable {
    case no
    case yes(since: Timestamp)
    /// Their devices are not those that were verified: nothing is sent to them until the person has looked.
    case changed(since: Timestamp)
}

extension ClientState {
    /// The number to compare with a user, from the devices that this device knows.
    package func safetyNumber(with user: UserID, of account: Account) throws(ClientError) -> SafetyNumber {
        try storing { SafetyNumber((account.user, try identityKeys(of: account.user)), (user, try identityKeys(of: user))) }
    }

    package func user(named name: String) throws(ClientError) -> UserID? {
        try storing { try rows("SELECT id FROM users WHERE name = ?", { $0.bind(1, name) }) { UserID($0.unsigned(0)) }.first }
    }

    package func verification(of user: UserID) throws(ClientError) -> Verification {
        try storing {
            let stored = try rows("SELECT keys, at FROM verified WHERE user_id = ?", { $0.bind(1, user.rawValue) }) {
                (keys: $0.bytes(0), at: Timestamp(milliseconds: $0.integer(1)))
            }.first
            guard let stored else { return .no }
            return try stored.keys == keySet(of: user) ? .yes(since: stored.at) : .changed(since: stored.at)
        }
    }

    /// The devices that are known now are the user's: the person compared the numbers.
    package func verify(_ user: UserID, at now: Timestamp) throws(ClientError) {
        try transaction {
            let keys = try keySet(of: user)
            try run("INSERT INTO verified VALUES (?1, ?2, ?3) ON CONFLICT (user_id) DO UPDATE SET keys = ?2, at = ?3") {
                $0.bind(1, user.rawValue)
                $0.bind(2, keys)
                $0.bind(3, now.milliseconds)
            }
        }
    }

    package func forgetVerification(of user: UserID) throws(ClientError) {
        try transaction { try run("DELETE FROM verified WHERE user_id = ?") { $0.bind(1, user.rawValue) } }
    }

    /// Somebody among these whose devices are not those that were verified.
    func unverified(among users: some Sequence<UserID>) throws -> UserID? {
        // Most devices have verified nobody.
        let verified = try rows("SELECT user_id FROM verified") { UserID($0.unsigned(0)) }
        guard !verified.isEmpty else { return nil }
        let users = Set(users)
        return try verified.first { user in
            guard users.contains(user), case .changed = try verification(of: user) else { return false }
            return true
        }
    }

    private func identityKeys(of user: UserID) throws -> [[UInt8]] {
        try rows("SELECT identity_key FROM devices WHERE user_id = ? AND active = 1", { $0.bind(1, user.rawValue) }) { $0.bytes(0) }
    }

    /// 32 bytes.
    private func keySet(of user: UserID) throws -> [UInt8] {
        Hashing.blake2b256(try identityKeys(of: user).sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
    }
}
