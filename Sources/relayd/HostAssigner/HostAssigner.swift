import RelayModel

/// Which host serves which slots.
package struct Assignment: Sendable, Equatable {
    /// Rises with every change.
    package var version: UInt64
    package var hosts: [HostSlots]

    package init(version: UInt64, hosts: [HostSlots]) {
        self.version = version
        self.hosts = hosts
    }
}

package struct HostSlots: Sendable, Equatable {
    package var host: String
    /// Where clients reach the host.
    package var url: String
    package var ranges: [ClosedRange<Int>]

    package init(host: String, url: String, ranges: [ClosedRange<Int>]) {
        self.host = host
        self.url = url
        self.ranges = ranges
    }
}

/// Maps slots to hosts. A relay on one host serves all slots itself; several hosts will share them out here. Any thread.
package struct HostAssigner: Sendable {
    package let assignment: Assignment

    /// The assignment of a single host.
    package init(host: String, url: String) {
        assignment = Assignment(version: 1, hosts: [HostSlots(host: host, url: url, ranges: [0...(Slot.count - 1)])])
    }
}
