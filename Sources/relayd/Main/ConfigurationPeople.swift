import RelayControl
import RelayModel

extension ConfigurationOption {
    /// `[people]`: figures about people, each with its ε and Δ.
    static let people: [ConfigurationOption] =
        [
            .flag(
                "people", "publish", \.people.isOn,
                [
                    "Count what people do and publish it once a day or week, with noise that hides every single user: relayd-privacy(7)."
                ]),
            .number(
                "people", "minimum_users", \.people.minimumUsers, Limits.peopleMinimumUsers, "users",
                ["With fewer registered users, roughly, nothing is published."], reloadable: true),
            .number(
                "people", "threshold", \.people.threshold, Limits.peopleThreshold, "counted",
                ["A figure that is lower, after the noise, is suppressed."],
                reloadable: true),
        ] + PeopleMetric.allCases.flatMap { [epsilon($0)] + ($0.isOnceAUser ? [] : [clamp($0)]) }

    private static func epsilon(_ metric: PeopleMetric) -> ConfigurationOption {
        let ceiling = Epsilon.text(Limits.peopleEpsilonCeiling)
        return ConfigurationOption(
            section: "people", key: "\(metric.rawValue)_epsilon",
            allowed: "a text with a number from \"0\" to \"\(ceiling)\" with at most three decimals, such as \"0.3\"", reloadable: true,
            documentation: [
                "\(metric.explanation), by the \(metric.period.rawValue): what each release spends. Less means more noise. \"0\": it is not counted."
            ],
            read: { .text(Epsilon.text($0.people[metric].epsilonThousandths)) },
            write: { configuration, value in
                guard case .text(let text) = value, let thousandths = Epsilon.thousandths(text), thousandths <= Limits.peopleEpsilonCeiling else {
                    return false
                }
                configuration.people[metric].epsilonThousandths = thousandths
                return true
            })
    }

    private static func clamp(_ metric: PeopleMetric) -> ConfigurationOption {
        let range = 1...Limits.peopleClampCeiling
        return ConfigurationOption(
            section: "people", key: "\(metric.rawValue)_clamp", allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            unit: "counted", reloadable: true, documentation: ["What one user counts for at most in a period. More means more noise."],
            read: { .number($0.people[metric].clamp) },
            write: { configuration, value in
                guard case .number(let number) = value, range.contains(number) else { return false }
                configuration.people[metric].clamp = number
                return true
            })
    }
}
