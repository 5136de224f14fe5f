import ArgumentParser
import Glibc
import RelayControl

/// What every command takes that ends or deletes something.
struct Confirmation: ParsableArguments {
    @Flag(name: .customLong("dry-run"), help: "Only say what would happen.")
    var dryRun = false

    @Flag(help: "Do it without asking; needed where there is no terminal to ask on.")
    var yes = false

    @Option(help: ArgumentHelp("Why, for the audit log.", valueName: "text"))
    var reason: String?

    /// Asks what would happen, asks the person, and does it; with `--yes` or `--dry-run` nobody is asked.
    ///
    /// - Parameters:
    ///   - command: for the error when there is nobody to ask.
    ///   - operation: the same with and without `dryRun`.
    func perform<Operation: ControlOperation>(
        _ command: String, on control: ControlClient, _ operation: (_ dryRun: Bool) -> Operation, question: (Operation.Reply) -> String
    ) async throws(ControlError) -> Operation.Reply {
        try checkThatSomebodyCanAnswer(command)
        if !dryRun, !yes { try ask(question(try await control.call(operation(true)))) }
        return try await control.call(operation(dryRun))
    }

    /// Without `--yes` and without a terminal there is nobody to ask: refused before anything is asked of relayd.
    private func checkThatSomebodyCanAnswer(_ command: String) throws(ControlError) {
        guard dryRun || yes || isatty(STDIN_FILENO) == 1 else {
            throw ControlError(
                .badRequest, "\(command) asks for confirmation, and there is no terminal to ask on",
                hint: "add --yes to do it, or --dry-run to see what it would do")
        }
    }

    /// Asks, unless `--yes` answered already.
    private func ask(_ question: String) throws(ControlError) {
        guard yes || Talk.confirms(question) else { throw ControlError(.failed, "nothing was changed") }
    }
}
