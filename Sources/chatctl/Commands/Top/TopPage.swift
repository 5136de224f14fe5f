import RelayControl
import RelayModel

/// The screen of `chatctl top`, as lines that fit the terminal.
struct TopPage {
    var looks: TopLooks
    /// Why the last look failed.
    var trouble: ControlError?
    var color: Bool
    var ascii: Bool

    /// - Parameter columns: of the terminal; below 60 there are no trends.
    func lines(columns: Int) -> [String] {
        guard let figures = looks.figures, let look = looks.all.last else { return [] }
        let up = Figures.span(look.at - look.startedAt)
        var lines = [
            paint("relayd \(look.relayVersion), up \(up)", "1", columns),
            figures.isLive ? "live" : "messages as of \(Figures.time(figures.metricsAt))",
        ]
        if let trouble { lines.append(paint(trouble.message, "31", columns)) }
        if figures.openAlerts > 0 {
            lines.append(
                paint("\(Figures.number(figures.openAlerts, "alert")) go\(figures.openAlerts == 1 ? "es" : "") on: chatctl alert list", "33", columns)
            )
        }
        lines.append("")
        let rows = rows(figures)
        let names = rows.map { DisplayWidth.of($0.name) }.max() ?? 0
        let values = rows.map { DisplayWidth.of($0.value) }.max() ?? 0
        let room = columns - names - values - 4
        for row in rows {
            let name = row.name + String(repeating: " ", count: names - DisplayWidth.of(row.name))
            var line = name + "  " + row.value
            if room >= 8, columns >= 60, let trend = row.trend {
                let width = min(room, 2 * Sparkline.width)
                line +=
                    String(repeating: " ", count: values - DisplayWidth.of(row.value) + 2)
                    + Sparkline.of(Array(trend.suffix(width)), ascii: ascii, width: width)
            }
            lines.append(line)
        }
        lines += ["", "q ends"]
        return lines.map { Self.cut($0, columns) }
    }

    private func rows(_ figures: TopFigures) -> [(name: String, value: String, trend: [Double?]?)] {
        func time(_ seconds: Double?) -> String { seconds.map(Figures.shortTime) ?? "-" }
        let free = figures.diskBytes > 0 ? " (\(figures.diskFreeBytes * 100 / figures.diskBytes) %)" : ""
        return [
            ("sends", figures.sends.words, looks.trend { $0.sends.perSecond ?? 0 }),
            ("deliveries", figures.deliveries.words, looks.trend { $0.deliveries.perSecond ?? 0 }),
            ("send, half", time(figures.sendP50), looks.trend(\.sendP50)), ("send, 99 %", time(figures.sendP99), looks.trend(\.sendP99)),
            ("commit, 99 %", time(figures.commitP99), looks.trend(\.commitP99)),
            ("loop lag, 99 %", time(figures.loopLagP99), looks.trend(\.loopLagP99)),
            ("queue", atMost(figures.queue), looks.trend { Double($0.queue) }),
            ("undelivered", atMost(figures.undelivered), nil),
            ("WebSockets", atMost(figures.webSockets), looks.trend { Double($0.webSockets) }), ("HTTP", atMost(figures.httpConnections), nil),
            (
                "CPU", figures.cores.map { "\(Figures.decimal($0, digits: 2)) of \(Figures.number(figures.processors, "core"))" } ?? "-",
                looks.trend(\.cores)
            ), ("memory", Figures.bytes(figures.residentBytes), looks.trend { Double($0.residentBytes) }),
            ("store", "\(Figures.bytes(figures.storeBytes)), log \(Figures.bytes(figures.logBytes))", nil),
            ("disk free", Figures.bytes(figures.diskFreeBytes) + free, nil),
        ]
    }

    /// A power of two up to which it was rounded.
    private func atMost(_ count: Int) -> String { count < 3 ? "\(count)" : "\(ascii ? "<=" : "≤") \(Figures.count(count))" }

    private func paint(_ text: String, _ code: String, _ columns: Int) -> String {
        let text = Self.cut(Printable.line(text), columns)
        return color ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// What fits the terminal. A painted line was cut before.
    private static func cut(_ line: String, _ columns: Int) -> String {
        if line.hasPrefix("\u{1B}") { return line }
        var width = 0
        return String(
            line.prefix { character in
                width += DisplayWidth.of(String(character))
                return width <= columns
            })
    }
}
