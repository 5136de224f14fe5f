import RelaySQLite

@testable import RelayClient

/// Databases as earlier versions of the client left them.
enum EarlierStates {
    static func firstVersion(_ path: String) throws -> Database {
        let database = try Database(path: path, access: .readWriteCreate)
        try database.execute(StateSchema.migrations[0])
        try database.execute("PRAGMA user_version = 1")
        return database
    }
}
