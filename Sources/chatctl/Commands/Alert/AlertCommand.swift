import ArgumentParser
import RelayControl
import RelayModel

/// `chatctl alert`
struct AlertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alert",
        abstract: "What the relay found that you should know.",
        subcommands: [AlertListCommand.self, AlertShowCommand.self, AlertAckCommand.self, AlertTestCommand.self, AlertKindsCommand.self])
}

extension AlertSeverity {
    fileprivate var cell: Cell {
        switch self {
        case .info: Cell(rawValue, .faint)
        case .warning: Cell(rawValue)
        case .critical: Cell(rawValue, .bad)
        }
    }
}

extension AlertUnit {
    /// A figure with its unit, as people write it.
    fileprivate func words(_ figure: Int) -> String {
        switch self {
        case .percent: "\(figure) %"
        case .perMinute: "\(Figures.count(figure)) a minute"
        case .messages: Figures.number(figure, "message")
        case .milliseconds: "\(Figures.count(figure)) ms"
        case .days: Figures.number(figure, "day")
        case .events: Figures.number(figure, "time")
        }
    }
}

extension AlertRecord {
    /// How much of it there is.
    fileprivate var extent: String { if let figure, let unit { unit.words(figure) } else { AlertUnit.events.words(count) } }

    fileprivate var state: Cell {
        switch (overAt, acknowledgedAt) {
        case (nil, nil): Cell("goes on", severity == .critical ? .bad : .strong)
        case (nil, _?): Cell("goes on, known")
        case (_?, nil): Cell("over")
        case (_?, _?): Cell("over, known", .faint)
        }
    }
}

extension Page {
    mutating func alerts(_ alerts: [AlertRecord]) {
        table(
            [Column("ALERT", .right), "SINCE", "SEVERITY", "KIND", "STATE", "HOW MUCH"],
            alerts.map { alert in
                [
                    Cell(String(alert.alert), .strong), Cell(Figures.time(alert.firstAt)), alert.severity.cell, Cell(alert.kind), alert.state,
                    Cell(alert.extent),
                ]
            })
    }

    mutating func alert(_ reply: AlertShow.Reply) {
        let alert = reply.alert
        var rows: [(key: String, value: Cell)] = [
            ("alert", Cell(String(alert.alert), .strong)), ("kind", Cell(alert.kind)), ("severity", alert.severity.cell), ("state", alert.state),
            ("what", Cell(alert.text)), ("how much", Cell(alert.extent)), ("since", Cell(Figures.time(alert.firstAt))),
            ("last", Cell(Figures.time(alert.lastAt))),
        ]
        if let user = reply.user { rows.append(("user", Cell(user, .strong))) }
        if let device = reply.device { rows.append(("device", Cell(device.description, .strong))) }
        if let over = alert.overAt { rows.append(("over since", Cell(Figures.time(over)))) }
        if let known = alert.acknowledgedAt { rows.append(("known since", Cell(Figures.time(known)))) }
        pairs(rows)
    }

    mutating func alertKinds(_ reply: AlertKinds.Reply) {
        table(
            ["KIND", "SEVERITY", "BEGINS AT", "OVER AT", "WHAT IT IS"],
            reply.kinds.map { kind in
                let span = Figures.span(.seconds(kind.seconds))
                let begins =
                    switch kind.unit {
                    case .events where kind.raise == 1: "the first"
                    case .events: "\(kind.raise) within \(span)"
                    default: kind.unit.words(kind.raise) + (kind.seconds > 0 ? " for \(span)" : "")
                    }
                return [
                    Cell(kind.kind, .strong), kind.severity.cell, Cell(begins),
                    Cell(kind.clear.map(kind.unit.words) ?? "none for \(span)"), Cell(kind.text, .faint),
                ]
            })
    }
}
