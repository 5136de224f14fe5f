#if canImport(Glibc)
    import Glibc
#endif

/// The part of a page of a database file that SQLite does not use: <https://sqlite.org/fileformat2.html#b_tree_pages>.
///
/// `secure_delete` overwrites what is deleted. But when pages of a tree are split or joined, SQLite moves rows and leaves their bytes in the space
/// that the page no longer uses; those of a row that is deleted later stay there. So that space is cleared whenever a page goes into the file.
enum UnusedSpace {
    /// Pages that are no tree begin with the number of another page. Up to here its first byte is 0 or 1, which no page of a tree begins with; half
    /// of what that needs, because a file grows while it is written.
    static let fileBytes: Int64 = 1 << 36

    /// Whether a page says where others hang, instead of holding anything: in a file that can give free pages back
    /// (<https://sqlite.org/fileformat2.html#pointer_map_or_ptrmap_pages>). It can look like a page of a tree.
    /// - Parameter number: of the page, from 1.
    static func isPointerMap(_ number: Int64, pageBytes: Int) -> Bool {
        // One for as many pages as it has entries of five bytes; the page of the lock byte is never used, and the next one takes its part.
        let span = Int64(pageBytes / 5 + 1)
        let lockPage = (1 << 30) / Int64(pageBytes) + 1
        func isPlace(_ number: Int64) -> Bool { number >= 2 && (number - 2) % span == 0 }
        return isPlace(number) || (number == lockPage + 1 && isPlace(lockPage))
    }

    /// From the file's header: whether it has such pages.
    static func hasPointerMaps(_ header: UnsafeRawBufferPointer) -> Bool { header.count >= 56 && header[52..<56].contains { $0 != 0 } }

    /// Clears the space between a page's pointers to its rows and the first of them. Leaves alone whatever does not look like a page of a tree in every way.
    ///
    /// - Parameter isFirst: of the file, which has its header in front.
    static func clear(_ page: UnsafeMutableRawBufferPointer, isFirst: Bool) {
        let start = isFirst ? 100 : 0
        guard page.count >= 512, page.count & (page.count - 1) == 0 else { return }
        func number(_ place: Int) -> Int { Int(page[start + place]) << 8 | Int(page[start + place + 1]) }
        let headBytes: Int
        switch page[start] {
        case 2, 5: headBytes = 12
        case 10, 13: headBytes = 8
        default: return
        }
        let rows = number(3)
        let content = number(5) == 0 ? 65_536 : number(5)
        let pointersEnd = start + headBytes + 2 * rows
        guard pointersEnd <= content, content <= page.count, number(1) == 0 || number(1) >= content, page[start + 7] <= 60 else { return }
        // The rows are where the pointers say.
        for row in 0..<rows {
            let place = number(headBytes + 2 * row)
            guard place >= content, place < page.count else { return }
        }
        if let base = page.baseAddress, pointersEnd < content { memset(base + pointersEnd, 0, content - pointersEnd) }
    }
}
