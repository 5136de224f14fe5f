import RelayModel

/// A piece of the product that reads bytes from strangers.
protocol FuzzTarget: SendableMetatype {
    /// Names the corpus's folder, too.
    static var name: String { get }
    init() throws
    /// Inputs to begin with, valid ones and those that are nearly so, the same on every run: name and bytes.
    func corpus() throws -> [(name: String, bytes: [UInt8])]
    /// Gives the product one input.
    /// - Throws: ``Finding`` when it broke a promise. An input that is refused properly is none.
    func run(_ input: [UInt8]) throws
}

/// A broken promise of the product, in words.
struct Finding: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

enum FuzzTargets {
    static let all: [any FuzzTarget.Type] = [
        WebSocketServerTarget.self, WebSocketClientTarget.self, ProtobufRequestTarget.self, JSONRequestTarget.self, ServerFrameTarget.self,
        PackedKeysTarget.self, EnvelopeTarget.self, LinkTarget.self, ProxyHeaderTarget.self,
    ]
    /// Not the product: they show that the fuzzer finds what it looks for. Run by name only.
    static let faulty: [any FuzzTarget.Type] = [CrashingTarget.self, LeakingTarget.self, LyingTarget.self, EndlessTarget.self]

    static func named(_ name: String) -> (any FuzzTarget.Type)? { (all + faulty).first { $0.name == name } }
}

/// A number that depends on the input alone, so that a stored input is all that a failure needs to be repeated.
func seed(of input: [UInt8]) -> UInt64 { input.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } }
