/// The value of a configuration key: what TOML and JSON both know.
package enum ConfigurationValue: Sendable, Equatable, CustomStringConvertible {
    case text(String)
    case number(Int)
    case flag(Bool)

    /// In TOML's notation, on one line.
    package var description: String {
        switch self {
        case .text(let text): "\"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n"))\""
        case .number(let number): String(number)
        case .flag(let flag): String(flag)
        }
    }

    /// TOML's name for what it is.
    package var type: ConfigurationType {
        switch self {
        case .text: .string
        case .number: .integer
        case .flag: .boolean
        }
    }
}

extension ConfigurationValue: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let flag = try? container.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? container.decode(Int.self) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        }
    }
}

/// TOML's types, as far as keys have them.
package enum ConfigurationType: String, Codable, Sendable { case string, integer, boolean }

/// One key of the configuration with the value in force.
package struct ConfigurationRecord: Codable, Sendable, Equatable {
    /// `section.key`
    package var name: String
    package var type: ConfigurationType
    /// What a number counts.
    package var unit: String?
    /// Absent when it is secret and not the default.
    package var value: ConfigurationValue?
    package var standard: ConfigurationValue
    /// Where the value comes from: the line of the file; absent: it is the default.
    package var line: Int?
    /// SIGHUP applies a change; others wait for a restart.
    package var reloadable: Bool
    /// The value is shown to nobody.
    package var secret: Bool
    /// What it takes, to follow the word "must be".
    package var allowed: String
    package var text: String

    enum CodingKeys: String, CodingKey {
        case name, type, unit, value, line, reloadable, secret, allowed, text
        case standard = "default"
    }

    package init(
        name: String, unit: String?, value: ConfigurationValue, standard: ConfigurationValue, line: Int?, reloadable: Bool, secret: Bool,
        allowed: String, text: String
    ) {
        self.name = name
        type = standard.type
        self.unit = unit
        self.value = secret && value != standard ? nil : value
        self.standard = standard
        self.line = line
        self.reloadable = reloadable
        self.secret = secret
        self.allowed = allowed
        self.text = text
    }
}

/// The whole configuration as it is in force. relayd gives the same with `--check-config --json`, of the file.
package struct ConfigShow: ControlOperation {
    package static let name = ControlOperationName.configShow
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        /// Absent: there is no file, and every value is the default.
        package var path: String?
        /// In the order of the sample file.
        package var options: [ConfigurationRecord]
        package init(path: String?, options: [ConfigurationRecord]) {
            self.path = path
            self.options = options
        }
    }
}

/// What would change if relayd were started anew: the file on the disk against what is in force.
package struct ConfigDiff: ControlOperation {
    package static let name = ControlOperationName.configDiff
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        package var path: String
        package var differences: [ConfigurationDifference]
        package init(path: String, differences: [ConfigurationDifference]) {
            self.path = path
            self.differences = differences
        }
    }
}

/// A key whose value in force is another one than the file's.
package struct ConfigurationDifference: Codable, Sendable, Equatable {
    /// What puts the file's value into force.
    package enum Step: String, Codable, Sendable { case reload, restart }

    package var name: String
    /// Both absent when they are secret.
    package var running: ConfigurationValue?
    package var file: ConfigurationValue?
    /// Absent: the file does not have the key any more.
    package var line: Int?
    package var needs: Step
    package init(name: String, running: ConfigurationValue?, file: ConfigurationValue?, line: Int?, needs: Step) {
        self.name = name
        self.running = running
        self.file = file
        self.line = line
        self.needs = needs
    }
}
