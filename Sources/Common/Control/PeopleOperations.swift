import RelayModel

/// What became of a figure when its period ended.
package enum PeopleReleaseState: String, Codable, Sendable {
    case released
    /// Below the threshold.
    case suppressed
    /// There were too few users.
    case withheld
}

/// A figure as it was published. It never changes.
package struct PeopleReleaseRecord: Codable, Sendable, Equatable {
    /// The first day, as `2026-11-21`.
    package var from: String
    package var state: PeopleReleaseState
    /// Absent unless it was released.
    package var value: Int?
    /// In 19 of 20 cases the count is at most so far from the value.
    package var plusMinus: Int
    package init(from: String, state: PeopleReleaseState, value: Int?, plusMinus: Int) {
        self.from = from
        self.state = state
        self.value = value
        self.plusMinus = plusMinus
    }
}

package struct PeopleSeriesRecord: Codable, Sendable, Equatable {
    package var metric: PeopleMetric
    package var period: PeoplePeriod
    /// Oldest first.
    package var releases: [PeopleReleaseRecord]
    package init(metric: PeopleMetric, period: PeoplePeriod, releases: [PeopleReleaseRecord]) {
        self.metric = metric
        self.period = period
        self.releases = releases
    }
}

/// The figures about people that were published.
package struct MetricsPeople: ControlOperation {
    package static let name = ControlOperationName.metricsPeople
    /// Of each figure so many, the last ones; 1 to ``Limits/peoplePeriods``, 30 unless given.
    package var periods: Int?
    package init(periods: Int? = nil) { self.periods = periods }

    package struct Reply: Codable, Sendable, Equatable {
        package var series: [PeopleSeriesRecord]
        package init(series: [PeopleSeriesRecord]) { self.series = series }
    }
}

/// What one figure costs. ε in thousandths, so that sums are exact.
package struct PeopleBudgetRecord: Codable, Sendable, Equatable {
    /// Absent for the weekly question whether there are enough users.
    package var metric: PeopleMetric?
    package var period: PeoplePeriod
    package var clamp: Int
    /// What one release spends from the next period on; 0: it is not counted.
    package var epsilonThousandths: Int
    /// Releases so far, and what they have spent.
    package var releases: Int
    package var spentThousandths: Int
    package init(metric: PeopleMetric?, period: PeoplePeriod, clamp: Int, epsilonThousandths: Int, releases: Int, spentThousandths: Int) {
        self.metric = metric
        self.period = period
        self.clamp = clamp
        self.epsilonThousandths = epsilonThousandths
        self.releases = releases
        self.spentThousandths = spentThousandths
    }
}

/// The privacy budget. What was spent never becomes less.
package struct MetricsBudget: ControlOperation {
    package static let name = ControlOperationName.metricsBudget
    package init() {}

    package struct Reply: Codable, Sendable, Equatable {
        package var metrics: [PeopleBudgetRecord]
        /// ε that the releases of one day spend, and all of a week together.
        package var perDayThousandths: Int
        package var perWeekThousandths: Int
        /// ε of everything that was ever released.
        package var spentThousandths: Int
        package init(metrics: [PeopleBudgetRecord], perDayThousandths: Int, perWeekThousandths: Int, spentThousandths: Int) {
            self.metrics = metrics
            self.perDayThousandths = perDayThousandths
            self.perWeekThousandths = perWeekThousandths
            self.spentThousandths = spentThousandths
        }
    }
}
