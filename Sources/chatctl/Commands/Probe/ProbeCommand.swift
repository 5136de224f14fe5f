import ArgumentParser
import RelayControl

/// `chatctl probe`
struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "Send a message through the running relay and back, and report every step's time.",
        discussion: """
            Adds two throw-away users, enrols a device for each in a temporary directory, exchanges an end-to-end-encrypted message both ways, and removes \
            the users again, also after a failure. Exit status 1 when a step fails.
            """,
        examples: ["probe", "probe --timeout 10s --json"])

    @Option(help: ArgumentHelp("How long a step may take.", valueName: "span"))
    var timeout = Lifetime(seconds: 30)

    @OptionGroup var trust: TrustOptions

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let run = ProbeRun(control: global.control, timeout: .seconds(timeout.seconds), trust: trust.trust)
        let report = await run.run()
        try global.output.show(report) { page in
            page.table(
                ["STEP", Page.Column("TIME", .right), "RESULT"],
                report.steps.map { step in
                    [
                        Cell(step.step), Cell("\(Figures.decimal(step.milliseconds, digits: 1)) ms"),
                        step.error == nil ? Cell("ok", .good) : Cell("failed", .bad),
                    ]
                })
            page.blank()
            if report.ok {
                page.line("The relay works: \(Figures.decimal(report.steps.reduce(0) { $0 + $1.milliseconds }, digits: 0)) ms in all.", .good)
            }
        }
        guard let failure = run.failure else { return }
        throw failure
    }
}
