import ArgumentParser
import RelayClient
import RelayControl

/// What every client command takes.
struct ClientOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The device's state directory.", valueName: "directory"), completion: .directory)
    var state: String

    @OptionGroup var rendering: OutputOptions

    var directory: StateDirectory { StateDirectory(state) }
    var output: Output { rendering.output }
}

/// Runs what throws the client's errors, and throws them as chatctl reports them.
func translatingClientErrors<Result>(_ body: () async throws -> Result) async throws -> Result {
    do { return try await body() } catch let error as ClientError { throw ControlError(error) }
}

extension ControlError {
    /// The client's error with chatctl's exit status.
    init(_ error: ClientError) {
        let code: ControlErrorCode =
            switch error {
            case .state, .notEnrolled, .alreadyEnrolled: .configuration
            case .locked, .outboxFull, .decisionsFull, .timeout: .tryAgain
            case .link, .linkCode, .userName, .ambiguousGroup, .request: .badRequest
            case .groupUnknown, .chatUnknown: .notFound
            case .unreachable, .insecure: .daemonUnreachable
            case .revoked: .notPermitted
            case .refused(let refusal):
                switch refusal.code {
                case "overloaded", "restarting", "timeout", "rate_limited": .tryAgain
                default: .failed
                }
            case .protocolViolation, .linkBroken, .linkRefused, .replaced, .store, .stopped, .youBlock, .blocked, .contactConflict: .failed
            }
        self.init(code, error.description, hint: error.hint)
    }
}
