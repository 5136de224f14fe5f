import RelayControl
import RelayModel

extension Page {
    /// One screen. Who may only look gets classes, and the words say so.
    mutating func status(_ status: Status.Reply) {
        /// Rounded up to a power of two.
        func people(_ count: Int, _ singular: String) -> String { (status.isExact || count < 3 ? "" : "up to ") + Figures.number(count, singular) }
        /// Rounded down to a multiple of 1,024.
        func passed(_ count: Int) -> String {
            status.isExact
                ? Figures.count(count) : count == 0 ? "fewer than \(Figures.count(Limits.metricMessageStep))" : "over \(Figures.count(count))"
        }
        let batch =
            status.commits == 0 ? "" : ", \(Figures.decimal(Double(status.commandsApplied) / Double(status.commits), digits: 1)) commands a commit"
        let disk =
            status.diskBytes == 0
            ? ""
            : ", \(Figures.bytes(status.diskFreeBytes)) of the disk are free (\(Int(Double(status.diskFreeBytes) / Double(status.diskBytes) * 100)) %)"
        pairs([
            ("relayd", Cell(status.relayVersion, .strong)), ("health", Self.state(status.health)),
            (
                "running",
                Cell("\(Figures.span(status.now - status.startedAt)), since \(Figures.time(status.startedAt)), process \(status.processID)")
            ), ("listening", Cell(status.listening.joined(separator: ", "))), ("public URL", Cell(status.publicURL)),
            (
                "accounts",
                Cell("\(people(status.users, "user")), \(people(status.devices, "device")), \(people(status.openInvites, "open invite"))")
            ), ("connections", Cell(people(status.connections, "WebSocket"))),
            (
                "messages",
                Cell(
                    "\(passed(status.messagesAccepted)) accepted, \(passed(status.envelopesDelivered)) delivered, \(passed(status.requestsRefused)) refused"
                )
            ),
            (
                "undelivered",
                Cell(
                    status.undelivered < 3 ? Figures.number(status.undelivered, "message") : "up to \(Figures.number(status.undelivered, "message"))")
            ),
            (
                "alerts",
                status.openAlerts == 0
                    ? Cell("none")
                    : Cell("\(Figures.number(status.openAlerts, "alert")) go\(status.openAlerts == 1 ? "es" : "") on: chatctl alert list", .warning)
            ), ("store", Cell(Figures.bytes(status.storeBytes) + disk)),
            ("writer", Cell("\(people(status.writerQueue, "command")) waiting\(batch)")), ("memory", Cell(Figures.bytes(status.residentBytes))),
            ("CPU time", Cell("\(Figures.decimal(Double(status.cpuMicroseconds) / 1_000_000, digits: 1)) s")),
        ])
    }
}
