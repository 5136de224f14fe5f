/// Values as a row of bars, the highest of each stretch where there are more than fit; what has no value is a dot, or a blank without UTF-8.
enum Sparkline {
    /// Columns: fits a terminal of 80 with a name and three figures beside it.
    static let width = 24

    private static let bars = Array("▁▂▃▄▅▆▇█")
    private static let plainBars = Array("_.:-=+*#")

    /// - Parameter width: columns at most.
    static func of(_ values: [Double?], ascii: Bool, width: Int = width) -> String {
        let bars = ascii ? plainBars : Self.bars
        let columns = min(width, values.count)
        let shown: [Double?] = (0..<columns).map { column in
            let (from, to) = (column * values.count / columns, (column + 1) * values.count / columns)
            return values[from..<to].compactMap(\.self).max()
        }
        let top = shown.compactMap(\.self).max() ?? 0
        return String(
            shown.map { value -> Character in
                guard let value else { return ascii ? " " : "·" }
                guard top > 0 else { return bars[0] }
                return bars[min(bars.count - 1, max(0, Int((value / top * Double(bars.count - 1)).rounded())))]
            })
    }
}
