import RelayModel
import RelaySQLite

// Devices' keys.
extension Reader {
    /// What there is of an active device's keys; nil for another one.
    package func keysState(of device: DeviceID) throws -> DeviceKeysState? {
        try rows(DeviceKeysState.sql, bind: { $0.bind(1, device.rawValue) }, DeviceKeysState.init).first
    }

    /// An active device's agreement key, signed prekey and last-resort prekey, and those that they replaced and that are valid still, the newest of
    /// each kind first. For operators.
    package func keys(of device: DeviceID, at now: Timestamp) throws -> [DeviceKeyRow] {
        try rows(
            """
            SELECT 0 AS kind, agreement_version AS key_id, agreement_key AS key, agreement_signature AS signature, NULL AS expires_ms,
                    agreement_ms AS since_ms
                FROM devices WHERE device_id = ?1 AND revoked = 0
            UNION ALL SELECT kind, key_id, key, signature, expires_ms, since_ms
                FROM prekeys WHERE device_id = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)
            ORDER BY kind, key_id DESC
            """,
            bind: {
                $0.bind(1, device.rawValue)
                $0.bind(2, now.milliseconds)
            }
        ) { row in
            guard let kind = StoredKeyKind(rawValue: row.integer(0)) else { return nil }
            return DeviceKeyRow(
                kind: kind, key: SignedKey(id: row.unsigned(1), key: row.bytes(2), signature: row.bytes(3)),
                expires: row.isNull(4) ? nil : Timestamp(milliseconds: row.integer(4)),
                since: row.integer(5) == 0 ? nil : Timestamp(milliseconds: row.integer(5)))
        }
    }

    /// An active device's one-time prekeys that nobody has got yet, by their ids. For operators.
    package func oneTimePrekeys(of device: DeviceID) throws -> [OneTimePrekey] {
        try rows(
            "SELECT o.key_id, o.key FROM one_time_prekeys o WHERE o.device_id = ? ORDER BY o.key_id", bind: { $0.bind(1, device.rawValue) }
        ) { OneTimePrekey(id: $0.unsigned(0), key: $0.bytes(1)) }
    }

    /// Active devices that have uploaded one-time prekeys before and have fewer than ``Limits/lowPrekeys`` left, in the order in which they were
    /// enrolled.
    ///
    /// - Parameter scan: looks at no more devices than this.
    /// - Returns: `next`: behind which the next page begins; nil at the end. There may be a next page behind one without devices.
    package func lowOnPrekeys(
        of user: UserID?, after device: DeviceID?, limit: Int, scan: Int = Limits.prekeyScanDevices
    ) throws -> (devices: [DeviceID], next: DeviceID?) {
        let one = user == nil ? "" : " AND d.user_id = ?3"
        let looking = try statement(
            """
            SELECT d.device_id, (SELECT count(*) FROM one_time_prekeys o WHERE o.device_id = d.device_id)
            FROM devices d JOIN key_progress k USING (device_id)
            WHERE d.device_id > ?1 AND d.revoked = 0 AND k.highest_one_time_id > 0\(one) ORDER BY d.device_id LIMIT ?2
            """)
        defer { looking.reset() }
        looking.bind(1, device?.rawValue ?? 0)
        looking.bind(2, scan)
        if let user { looking.bind(3, user.rawValue) }
        var found: [DeviceID] = []
        var last: DeviceID?
        var seen = 0
        while found.count < limit, try looking.step() {
            seen += 1
            let device = DeviceID(looking.unsigned(0))
            last = device
            if looking.integer(1) < Limits.lowPrekeys { found.append(device) }
        }
        return (found, found.count < limit && seen < scan ? nil : last)
    }
}
