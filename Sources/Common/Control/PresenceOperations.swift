import RelayModel

/// How many of something there are, as a class: from one power of two up to the next. An exact count that changes by one tells who came.
package struct CountClass: Codable, Sendable, Equatable {
    package var atLeast: Int
    /// More than there are. 1 with `atLeast` 0: none.
    package var below: Int

    package init(of count: Int) {
        atLeast = count <= 0 ? 0 : 1 << (Int.bitWidth - 1 - count.leadingZeroBitCount)
        below = max(1, atLeast * 2)
    }
}

/// Who is there: how many, never who.
package struct PresenceSummary: ControlOperation {
    package static let name = ControlOperationName.presenceSummary
    package init() {}
    package struct Reply: Codable, Sendable, Equatable {
        /// Of whom a device is there, those included who hide it.
        package var usersOnline: CountClass
        package var devicesOnline: CountClass
        /// Devices that are told of their users' contacts.
        package var devicesWatching: CountClass
        /// As configured.
        package var heartbeatSeconds: Int
        package var offlineAfterSeconds: Int
        package init(usersOnline: CountClass, devicesOnline: CountClass, devicesWatching: CountClass, heartbeatSeconds: Int, offlineAfterSeconds: Int)
        {
            self.usersOnline = usersOnline
            self.devicesOnline = devicesOnline
            self.devicesWatching = devicesWatching
            self.heartbeatSeconds = heartbeatSeconds
            self.offlineAfterSeconds = offlineAfterSeconds
        }
    }
}
