import ArgumentParser
import Glibc
import RelayControl
import RelayModel

/// `chatctl top`
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch what the relay does.",
        discussion: """
            On a terminal a screen that ends with q or Ctrl-C; otherwise a line for each look. CPU and memory are as of now. Figures about messages are \
            taken every \(Limits.metricInterval.components.seconds) seconds, and at each look only while so many pass that no single one shows; what passes \
            is counted in steps of \(Limits.metricMessageStep), so that a quiet relay shows less than a rate.
            """, examples: ["top", "top --count 1 --json"])

    @Option(help: ArgumentHelp("How often to look, 1s to 60s.", valueName: "span"))
    var interval = Lifetime(seconds: 2)

    @Option(help: ArgumentHelp("End after so many looks.", valueName: "number"))
    var count: Int?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard (1...60).contains(interval.seconds) else { throw ValidationError("--interval takes 1s to 60s") }
        if let count, count < 1 { throw ValidationError("--count takes 1 and more") }
    }

    func run() async throws {
        let output = global.output
        let isDumb = environment("TERM").map { $0 == "dumb" } ?? true
        if !output.json, output.terminal, isatty(STDIN_FILENO) == 1, !isDumb { return try await onScreen(output) }
        let control = global.control
        var looks = TopLooks()
        var left = count ?? .max
        while true {
            looks.add(try await control.call(Top()))
            if let figures = looks.figures { try output.stream(figures, line: figures.line) }
            left -= 1
            if left <= 0 { return }
            try await Task.sleep(for: .seconds(interval.seconds))
        }
    }

    private func onScreen(_ output: Output) async throws {
        let control = global.control
        var looks = TopLooks()
        // The first look fails as any command does.
        looks.add(try await control.call(Top()))
        let screen = try Screen()
        defer { screen.leave() }
        var left = count ?? .max
        var trouble: ControlError?
        while true {
            screen.draw(TopPage(looks: looks, trouble: trouble, color: output.color, ascii: PlainText.isNeeded).lines(columns: screen.columns))
            left -= 1
            if left <= 0 { return }
            // A new size is drawn at once, what it shows stays until the next look is due.
            let due = ContinuousClock.now + .seconds(interval.seconds)
            while ContinuousClock.now < due {
                switch screen.wait(until: due) {
                case .quit: return
                case .resized:
                    screen.draw(
                        TopPage(looks: looks, trouble: trouble, color: output.color, ascii: PlainText.isNeeded).lines(columns: screen.columns))
                case .time: break
                }
            }
            do throws(ControlError) {
                looks.add(try await control.call(Top()))
                trouble = nil
            } catch {
                trouble = error
            }
        }
    }
}
