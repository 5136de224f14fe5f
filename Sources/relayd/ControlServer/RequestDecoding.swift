import FoundationEssentials
import NIOCore
import RelayControl

/// Reads an operation from a request's body, and says which field is wrong when it cannot.
enum RequestDecoding {
    static func decode<Operation: ControlOperation>(_: Operation.Type, from body: ByteBuffer) throws(ControlError) -> Operation {
        let name = Operation.name.path
        let data = body.readableBytes == 0 ? Data("{}".utf8) : Data(body.readableBytesView)
        let operation: Operation
        let keys: Set<String>
        do {
            keys = Set(try JSONDecoder().decode([String: Anything].self, from: data).keys)
            operation = try JSONDecoder().decode(Operation.self, from: data)
        } catch let error as DecodingError {
            throw ControlError(.badRequest, "\(name): \(explain(error))", hint: hint)
        } catch {
            throw ControlError(.badRequest, "\(name): the body is not JSON", hint: hint)
        }
        // Operations are flat structures whose fields are their JSON keys.
        let known = Mirror(reflecting: operation).children.compactMap(\.label)
        guard let unknown = keys.subtracting(known).min() else { return operation }
        throw ControlError(
            .badRequest, "\(name): there is no field “\(unknown)”",
            hint: known.isEmpty ? "\(name) takes no fields" : "its fields are: \(known.joined(separator: ", "))")
    }

    private static let hint = "the body is a JSON object; chatctl(1) lists every operation with its fields"

    /// Any JSON value, not looked at.
    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    private static func explain(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "the field “\(key.stringValue)” is missing"
        case .valueNotFound(_, let context): "\(field(context)) must not be null"
        case .typeMismatch(let type, let context): "\(field(context)) must be \(words(for: type))"
        case .dataCorrupted(let context) where context.codingPath.isEmpty: "the body is not JSON"
        case .dataCorrupted(let context): "\(field(context)): \(context.debugDescription)"
        @unknown default: "the body cannot be read"
        }
    }

    private static func field(_ context: DecodingError.Context) -> String {
        guard let key = context.codingPath.first else { return "the body" }
        return "the field “\(key.stringValue)”"
    }

    private static func words(for type: any Any.Type) -> String {
        if type == String.self { return "a text in quotation marks" }
        if type == Int.self { return "a whole number" }
        if type == Bool.self { return "true or false" }
        return "a JSON object"
    }
}
