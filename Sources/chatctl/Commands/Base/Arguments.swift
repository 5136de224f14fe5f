import ArgumentParser
import RelayModel

// Identifiers on the command line: decimal, as every listing shows them.
extension InviteID: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension UserID: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension DeviceID: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}
