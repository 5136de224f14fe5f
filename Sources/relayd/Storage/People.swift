import RelayModel

/// A period in which a figure about people is counted. There is one for each figure and time; a second one changes nothing.
package struct PeopleOpening: Codable, Sendable, Equatable {
    package var metric: PeopleMetric
    /// The first day, since 1970-01-01.
    package var start: Int
    package var parameters: PeopleParameters
    package var threshold: Int
    package var minimumUsers: Int
    /// 32 random bytes, of this period alone.
    package var key: [UInt8]
    package init(metric: PeopleMetric, start: Int, parameters: PeopleParameters, threshold: Int, minimumUsers: Int, key: [UInt8]) {
        self.metric = metric
        self.start = start
        self.parameters = parameters
        self.threshold = threshold
        self.minimumUsers = minimumUsers
        self.key = key
    }
}

/// A user in one period of one figure: nobody without the period's key can tell who.
package struct PeoplePerson: Codable, Sendable, Hashable {
    package var metric: PeopleMetric
    package var start: Int
    /// Keyed hash of the user.
    package var person: [UInt8]
    package init(metric: PeopleMetric, start: Int, person: [UInt8]) {
        self.metric = metric
        self.start = start
        self.person = person
    }
}

/// What a user added to a figure.
package struct PeopleCount: Codable, Sendable, Equatable {
    package var person: PeoplePerson
    /// Keyed hash of what counts once, such as a device; empty: everything counts.
    package var part: [UInt8]
    package var count: Int
    package init(person: PeoplePerson, part: [UInt8] = [], count: Int) {
        self.person = person
        self.part = part
        self.count = count
    }
}

/// What was counted since the last time. What belongs to a period that is not open is passed over.
package struct PeopleCounts: Codable, Sendable {
    /// At most ``Limits/peopleCountsAtOnce``.
    package var counts: [PeopleCount]
    /// Whose contributions go: they were erased.
    package var forgotten: [PeoplePerson]
    package init(counts: [PeopleCount], forgotten: [PeoplePerson] = []) {
        self.counts = counts
        self.forgotten = forgotten
    }
}

/// Ends a period: its figure is published, and what it was counted from goes. Does nothing to a period that is not open, so that the noise of one
/// command only is ever used.
package struct PeopleClose: Codable, Sendable {
    package var metric: PeopleMetric
    package var start: Int
    /// Drawn for the period's parameters.
    package var noise: Int64
    /// Drawn for ``PeopleGate``; used when nobody asked in this week.
    package var gateNoise: Int64
    /// Which version of the noise it was.
    package var algorithm: Int
    package init(metric: PeopleMetric, start: Int, noise: Int64, gateNoise: Int64, algorithm: Int) {
        self.metric = metric
        self.start = start
        self.noise = noise
        self.gateNoise = gateNoise
        self.algorithm = algorithm
    }
}

/// A figure as it was published, for ever.
package struct PeopleRelease: Sendable, Equatable {
    package enum State: Int, Sendable {
        /// There were too few users: nothing was looked at.
        case withheld = 0
        /// The noised value was below the threshold.
        case suppressed = 1
        case released = 2
    }
    package var metric: PeopleMetric
    package var start: Int
    package var state: State
    /// With noise, rounded; nil unless released.
    package var value: Int?
    package var parameters: PeopleParameters
    package var bin: Int
    package var threshold: Int
    package var algorithm: Int
    package init(
        metric: PeopleMetric, start: Int, state: State, value: Int?, parameters: PeopleParameters, bin: Int, threshold: Int, algorithm: Int
    ) {
        self.metric = metric
        self.start = start
        self.state = state
        self.value = value
        self.parameters = parameters
        self.bin = bin
        self.threshold = threshold
        self.algorithm = algorithm
    }
}

/// What releases have spent of the privacy budget.
package struct PeopleSpending: Sendable, Equatable {
    package var releases = 0
    /// ε, in thousandths.
    package var thousandths = 0
    package init(releases: Int = 0, thousandths: Int = 0) {
        self.releases = releases
        self.thousandths = thousandths
    }
}
