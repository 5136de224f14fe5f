import RelayControl

/// The paths of all operations.
enum RelayControlNames {
    static let paths = ControlOperationName.allCases.map(\.path)
}
