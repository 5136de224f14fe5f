import NIOCore
import RelayControl
import RelayModel
import RelayStorage
import RelayTelemetry

// Figures about people, as they were published.
extension Operations {
    func metricsPeople(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(MetricsPeople.self, body) { request in
            let periods = request.periods ?? 30
            guard (1...Limits.peoplePeriods).contains(periods) else {
                throw ControlError(.badRequest, "the field “periods” must be 1 to \(Limits.peoplePeriods), not \(periods)")
            }
            let series = try await published { () throws(PrivacyLedgerError) in try await ledger.series(periods: periods) }
            return MetricsPeople.Reply(series: series.map { PeopleSeriesRecord($0) })
        }
    }

    func metricsBudget(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(MetricsBudget.self, body) { _ in
            MetricsBudget.Reply(try await published { () throws(PrivacyLedgerError) in try await ledger.budget() })
        }
    }

    private func published<Result>(_ body: () async throws(PrivacyLedgerError) -> Result) async throws(ControlError) -> Result {
        do throws(PrivacyLedgerError) { return try await body() } catch {
            switch error {
            case .overloaded: throw ControlError(.tryAgain, "more changes wait for the disk than the relay holds", hint: "try again in a moment")
            case .stopping: throw ControlError(.tryAgain, "relayd is stopping", hint: "systemctl status relayd says whether it comes back")
            case .storeFailed:
                throw ControlError(
                    .failed, "the store cannot be read or written", hint: "journalctl -u relayd says why; df -h, whether its disk is full")
            }
        }
    }
}

extension PeopleSeriesRecord {
    init(_ series: PeopleSeries) {
        self.init(
            metric: series.metric, period: series.metric.period,
            releases: series.releases.map { release in
                let state: PeopleReleaseState =
                    switch release.state {
                    case .withheld: .withheld
                    case .suppressed: .suppressed
                    case .released: .released
                    }
                return PeopleReleaseRecord(
                    from: PeoplePeriod.name(of: release.start), state: state, value: release.value, plusMinus: release.plusMinus)
            })
    }
}

extension MetricsBudget.Reply {
    init(_ budget: PeopleBudget) {
        let metrics = PeopleMetric.allCases.map { metric in
            let (parameters, spent) = (budget.settings[metric], budget.metrics[metric] ?? PeopleSpending())
            return PeopleBudgetRecord(
                metric: metric, period: metric.period, clamp: parameters.clamp,
                epsilonThousandths: budget.settings.isOn ? parameters.epsilonThousandths : 0, releases: spent.releases,
                spentThousandths: spent.thousandths)
        }
        let gate = PeopleBudgetRecord(
            metric: nil, period: .week, clamp: PeopleGate.clamp, epsilonThousandths: budget.settings.isOn ? PeopleGate.epsilonThousandths : 0,
            releases: budget.gate.releases, spentThousandths: budget.gate.thousandths)
        self.init(
            metrics: metrics + [gate], perDayThousandths: budget.perDay, perWeekThousandths: budget.perWeek, spentThousandths: budget.spent)
    }
}
