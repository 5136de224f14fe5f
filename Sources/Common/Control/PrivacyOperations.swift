import RelayModel

/// What an audit of privacy must know of the running relay; the looking is done by chatctl, on the same host.
package struct PrivacyFacts: ControlOperation {
    package static let name = ControlOperationName.privacyFacts
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        package var processID: Int
        package var storePath: String
        /// Absent when relayd runs on defaults.
        package var configurationPath: String?
        /// Where relayd listens, `host:port`; these may stand in its log.
        package var addresses: [String]
        /// Tables and columns that its store may have.
        package var tables: [PrivacyTableRecord]
        /// Triggers that it may have.
        package var triggers: [String]
        package init(
            processID: Int, storePath: String, configurationPath: String?, addresses: [String], tables: [PrivacyTableRecord], triggers: [String]
        ) {
            self.processID = processID
            self.storePath = storePath
            self.configurationPath = configurationPath
            self.addresses = addresses
            self.tables = tables
            self.triggers = triggers
        }
    }
}

package struct PrivacyTableRecord: Codable, Sendable, Equatable {
    package var name: String
    package var columns: [PrivacyColumnRecord]
    package init(name: String, columns: [PrivacyColumnRecord]) {
        self.name = name
        self.columns = columns
    }
}

package struct PrivacyColumnRecord: Codable, Sendable, Equatable {
    package var name: String
    /// What it holds: `name`, `identity`, `relation`, `sealed`, `public_key`, `hash`, `progress` or `decision`.
    package var holds: String
    package init(name: String, holds: String) {
        self.name = name
        self.holds = holds
    }
}
