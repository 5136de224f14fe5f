import RelayModel
import RelayStorage

#if canImport(Glibc)
    import Glibc
#endif

/// What was published of one figure.
package struct PeopleSeries: Sendable, Equatable {
    package var metric: PeopleMetric
    /// Oldest first.
    package var releases: [PeopleRelease]
}

/// What figures about people cost.
package struct PeopleBudget: Sendable, Equatable {
    /// Of the next periods.
    package var settings: PeopleSettings
    package var metrics: [PeopleMetric: PeopleSpending]
    /// The weekly question whether there are enough users.
    package var gate: PeopleSpending

    /// ε in thousandths that the releases of one day spend.
    package var perDay: Int { spending(.day) }
    /// ε in thousandths that a week spends: its days, what is released weekly, and the question whether there are enough users.
    package var perWeek: Int { settings.isOn ? 7 * spending(.day) + spending(.week) + PeopleGate.epsilonThousandths : 0 }
    /// All that was ever spent, in thousandths.
    package var spent: Int { metrics.values.reduce(gate.thousandths) { $0 + $1.thousandths } }

    private func spending(_ period: PeoplePeriod) -> Int {
        guard settings.isOn else { return 0 }
        return PeopleMetric.allCases.filter { $0.period == period }.reduce(0) { $0 + settings[$1].epsilonThousandths }
    }
}

extension PeopleRelease {
    /// In 19 of 20 cases the clamped count is at most so far from the value: by the noise, and by half a bin.
    ///
    /// From the parameters alone, which everybody may know; the noise itself is never drawn in floating point.
    package var plusMinus: Int {
        let epsilon = Double(max(1, parameters.epsilonThousandths)) / 1000 / Double(parameters.clamp)
        // P(|X| > k) = 2q^(k+1) / (1+q), with q = exp(-epsilon).
        let q = exp(-epsilon)
        let k = (log(0.05 * (1 + q) / 2) / -epsilon).rounded(.up) - 1
        return Int(max(0, k)) + bin / 2
    }
}

/// Figures about people in Prometheus' text format: the last release of each, for whoever serves the technical metrics to append to them.
///
/// A figure that was suppressed or withheld has no sample.
package enum PeopleExposition {
    package static func text(_ series: [PeopleSeries]) -> String {
        var text = ""
        for one in series {
            let name = "relayd_people_\(one.metric.rawValue)"
            text += "# HELP \(name) \(one.metric.explanation) in the last UTC \(one.metric.period.rawValue) that was published, with noise.\n"
            text += "# TYPE \(name) gauge\n"
            if let value = one.releases.last?.value { text += "\(name) \(value)\n" }
        }
        let last = series.compactMap(\.releases.last)
        text += "# HELP relayd_people_period_start_seconds When the period of the last release began.\n"
        text += "# TYPE relayd_people_period_start_seconds gauge\n"
        for release in last {
            text += "relayd_people_period_start_seconds{metric=\"\(release.metric.rawValue)\"} \(release.start * 86_400)\n"
        }
        text += "# HELP relayd_people_plus_minus How far the last release is from the count at most, in 19 of 20 cases.\n"
        text += "# TYPE relayd_people_plus_minus gauge\n"
        for release in last where release.value != nil {
            text += "relayd_people_plus_minus{metric=\"\(release.metric.rawValue)\"} \(release.plusMinus)\n"
        }
        return text
    }
}
