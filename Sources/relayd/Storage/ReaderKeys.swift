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
            SELECT 0 AS kind, agreement_version AS key_id, agreement_key AS key, agreement_signature AS signature, NULL AS expires_ms
                FROM devices WHERE device_id = ?1 AND revoked = 0
            UNION ALL SELECT kind, key_id, key, signature, expires_ms
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
                expires: row.isNull(4) ? nil : Timestamp(milliseconds: row.integer(4)))
        }
    }
}
