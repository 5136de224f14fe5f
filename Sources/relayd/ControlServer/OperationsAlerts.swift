import NIOCore
import RelayControl
import RelayDirectory
import RelayModel
import RelayStorage
import RelayTelemetry

// What the relay found that operators should know.
extension Operations {
    func alertList(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(AlertList.self, body) { request in
            let rows = await alerts.rows.filter { request.all == true || $0.overAt == nil || $0.acknowledgedAt == nil }
            return AlertList.Reply(alerts: rows.map { AlertRecord($0, alerts) })
        }
    }

    func alertShow(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(AlertShow.self, body) { request in
            let row = try await alerting { () throws(AlertError) in try await alerts.row(request.alert) }
            var (user, device): (String?, DeviceID?)
            // Who is gone meanwhile is not named any more.
            switch row.subject {
            case .user(let id): user = try? await directory.userWithDevices(id).user.name.text
            case .device(let id):
                if let details = try? await directory.device(id) { (user, device) = (details.userName.text, id) }
            case nil: break
            }
            return AlertShow.Reply(alert: AlertRecord(row, alerts), user: user, device: device)
        }
    }

    func alertAcknowledge(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(AlertAcknowledge.self, body) { request in
            let actor = try actor(caller, .alertAcknowledge, request.alerts.map { $0.map(String.init).joined(separator: " ") } ?? "", request.reason)
            if let alerts = request.alerts, alerts.isEmpty || alerts.count > Limits.alertsKept {
                throw ControlError(.badRequest, "the field “alerts” must have 1 to \(Limits.alertsKept) numbers", hint: "without it all are meant")
            }
            let rows = try await alerting { () throws(AlertError) in try await alerts.acknowledge(request.alerts) }
            if !rows.isEmpty {
                try await directory.audit(actor)
                note(.alertAcknowledge, caller)
            }
            return AlertList.Reply(alerts: rows.map { AlertRecord($0, alerts) })
        }
    }

    func alertTest(_ body: ByteBuffer, _ caller: PeerCredentials) async throws(ControlError) -> [UInt8] {
        try await answer(AlertTest.self, body) { _ in
            let took = try await alerting { () throws(AlertError) in try await alerts.test() }
            try await directory.audit(try actor(caller, .alertTest, ""))
            note(.alertTest, caller)
            return AlertTest.Reply(target: alerts.target.target.map(Self.text) ?? "", milliseconds: Int(took.milliseconds))
        }
    }

    func alertKinds(_ body: ByteBuffer) async throws(ControlError) -> [UInt8] {
        try await answer(AlertKinds.self, body) { _ in
            AlertKinds.Reply(
                kinds: alerts.rules.map { AlertKindRecord($0.kind, $0.rule) }, target: alerts.target.target.map(Self.text),
                severity: alerts.target.severity)
        }
    }

    private static func text(_ target: NoticeTarget) -> String {
        switch target {
        case .command(let path): path
        // A server often knows its callers by the path.
        case .webhook(let endpoint, let path): "\(endpoint)\(path == "/" ? "/" : "/…")"
        }
    }

    private func alerting<Result>(_ body: () async throws(AlertError) -> Result) async throws(ControlError) -> Result {
        do throws(AlertError) { return try await body() } catch {
            switch error {
            case .unknown(let id): throw ControlError(.notFound, "there is no alert \(id)", hint: "chatctl alert list --all")
            case .noTarget:
                throw ControlError(
                    .configuration, "alerts go to the log only", hint: "name a command or a webhook in the section [alerts] of relayd.toml")
            case .notHandedOver(let why):
                throw ControlError(
                    .failed, "the test was not handed over: \(why)", hint: "see command and webhook in the section [alerts] of relayd.toml")
            }
        }
    }
}

extension AlertRecord {
    init(_ row: AlertRow, _ alerts: Alerts) {
        let rule = alerts.rule(of: row.kind)
        var unit: AlertUnit?
        if case .reading(_, _, _, let its) = rule.trigger { unit = its }
        self.init(
            alert: row.id, kind: row.kind.rawValue, severity: rule.severity, firstAt: row.firstAt, lastAt: row.lastAt, overAt: row.overAt,
            acknowledgedAt: row.acknowledgedAt, count: row.count, figure: unit == nil ? nil : row.figure, unit: unit, text: rule.about,
            advice: rule.advice)
    }
}

extension AlertKindRecord {
    init(_ kind: AlertKind, _ rule: AlertKind.Rule) {
        let (raise, clear, unit, span): (Int, Int?, AlertUnit, Duration) =
            switch rule.trigger {
            case .events(let count, let within): (count, nil, .events, within)
            case .reading(let raise, let clear, let holds, let unit): (raise, clear, unit, holds)
            }
        self.init(
            kind: kind.rawValue, severity: rule.severity, raise: raise, clear: clear, unit: unit, seconds: Int(span.components.seconds),
            text: rule.about, advice: rule.advice)
    }
}
