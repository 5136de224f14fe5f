import CSQLite

/// A SQLite VFS that hands adjoining writes to the kernel in one piece, and clears what pages of the database do not use (``UnusedSpace``).
///
/// SQLite writes its log and its checkpoints page by page, in two calls for each page of the log. In pieces of ``pieceBytes`` the same bytes
/// cost a third of the CPU time: 1.3 instead of 5 microseconds a page of the log, when measured. Everything but the writes to database
/// files and logs is the system's own VFS (<https://sqlite.org/vfs.html>); what is gathered is written before any other operation of the file,
/// so that a flush, a lock or a read finds what it would have found without this. A write that fails is reported by that operation; for
/// the store that is the flush of the commit, or of the checkpoint.
enum WriteCombining {
    /// For `sqlite3_open_v2`; nil when the VFS cannot be set up, which leaves the system's.
    static let name: String? = {
        guard let system else { return nil }
        let name = "write-combining"
        let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        vfs.initialize(to: system.pointee)
        let bytes = UnsafeMutableBufferPointer<CChar>.allocate(capacity: name.utf8.count + 1)
        _ = bytes.initialize(from: name.utf8CString)
        vfs.pointee.zName = UnsafePointer(bytes.baseAddress)
        vfs.pointee.pNext = nil
        vfs.pointee.szOsFile = Int32(realFile) + system.pointee.szOsFile
        vfs.pointee.xOpen = open
        guard sqlite3_vfs_register(vfs, 0) == SQLITE_OK else { return nil }
        return name
    }()

    /// The most that SQLite's own VFS writes in one call is a byte less than 128 KiB; this is a whole number of pages below it. Three files have
    /// such a buffer once they were written to.
    static let pieceBytes = 124 * 1024

    // The process has one of each for ever, and nobody changes them.
    nonisolated(unsafe) private static let system = sqlite3_vfs_find(nil)
    nonisolated(unsafe) private static let methods = UnsafePointer(fileMethods())

    // MARK: A file

    // In the memory that SQLite gives a file: our methods, our state, the system's file.
    private static let stateOffset = MemoryLayout<sqlite3_file>.stride
    private static let realFile = stateOffset + MemoryLayout<UnsafeMutableRawPointer>.stride

    private typealias File = UnsafeMutablePointer<sqlite3_file>

    /// What was not yet given to the kernel. Used by one connection, which is confined.
    private final class Gathered {
        private var bytes: UnsafeMutableRawPointer?
        private var start: Int64 = 0
        private var count = 0
        private var failure = SQLITE_OK
        private let isDatabase: Bool
        /// The end of the file, as far as it is known here.
        private var end: Int64
        /// Nil until the file's first page was seen.
        private var hasPointerMaps: Bool?

        /// - Parameter end: of the file, when it was opened.
        init(isDatabase: Bool, end: Int64) {
            self.isDatabase = isDatabase
            self.end = end
        }

        func write(_ data: UnsafeRawPointer, _ amount: Int, at offset: Int64, to file: File) -> Int32 {
            if count > 0, offset != start + Int64(count) || count + amount > pieceBytes {
                let code = flush(to: file)
                guard code == SQLITE_OK else { return code }
            }
            end = max(end, offset + Int64(amount))
            guard amount < pieceBytes else { return file.pointee.pMethods.pointee.xWrite(file, data, Int32(amount), offset) }
            let bytes = bytes ?? .allocate(byteCount: pieceBytes, alignment: 4096)
            self.bytes = bytes
            if count == 0 { start = offset }
            (bytes + count).copyMemory(from: data, byteCount: amount)
            // The copy: SQLite's own page is not ours to change.
            if isDatabase { clear(UnsafeMutableRawBufferPointer(start: bytes + count, count: amount), at: offset, of: file) }
            count += amount
            return SQLITE_OK
        }

        private func clear(_ page: UnsafeMutableRawBufferPointer, at offset: Int64, of file: File) {
            if offset == 0 { hasPointerMaps = UnusedSpace.hasPointerMaps(UnsafeRawBufferPointer(page)) }
            guard end <= UnusedSpace.fileBytes, offset % Int64(page.count) == 0 else { return }
            if UnusedSpace.isPointerMap(offset / Int64(page.count) + 1, pageBytes: page.count), mayHavePointerMaps(file) { return }
            UnusedSpace.clear(page, isFirst: offset == 0)
        }

        /// A file whose header cannot be read may.
        private func mayHavePointerMaps(_ file: File) -> Bool {
            if let hasPointerMaps { return hasPointerMaps }
            let found = withUnsafeTemporaryAllocation(byteCount: 100, alignment: 8) { header in
                guard file.pointee.pMethods.pointee.xRead(file, header.baseAddress, 100, 0) == SQLITE_OK else { return true }
                return UnusedSpace.hasPointerMaps(UnsafeRawBufferPointer(header))
            }
            hasPointerMaps = found
            return found
        }

        /// A failure stays: nothing that was written behind it would mean anything.
        func flush(to file: File) -> Int32 {
            guard failure == SQLITE_OK, count > 0, let bytes else { return failure }
            failure = file.pointee.pMethods.pointee.xWrite(file, bytes, Int32(count), start)
            count = 0
            return failure
        }

        deinit { bytes?.deallocate() }
    }

    private static let open:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, UnsafeMutablePointer<sqlite3_file>?, Int32, UnsafeMutablePointer<Int32>?
        ) -> Int32 = { _, name, file, flags, given in
            guard let system = WriteCombining.system, let file else { return SQLITE_MISUSE }
            guard flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL) != 0 else { return system.pointee.xOpen(system, name, file, flags, given) }
            file.pointee.pMethods = nil
            let real = WriteCombining.real(file)
            let code = system.pointee.xOpen(system, name, real, flags, given)
            // A file with methods will be closed, whatever the code.
            guard real.pointee.pMethods != nil else { return code }
            var end: sqlite3_int64 = 0
            // A file of unknown size is left as it is.
            if real.pointee.pMethods.pointee.xFileSize(real, &end) != SQLITE_OK { end = .max }
            let state = Gathered(isDatabase: flags & SQLITE_OPEN_MAIN_DB != 0, end: end)
            (UnsafeMutableRawPointer(file) + stateOffset).storeBytes(
                of: Unmanaged.passRetained(state).toOpaque(), as: UnsafeMutableRawPointer.self)
            file.pointee.pMethods = WriteCombining.methods
            return code
        }

    private static func real(_ file: File) -> File { (UnsafeMutableRawPointer(file) + realFile).assumingMemoryBound(to: sqlite3_file.self) }

    private static func gathered(_ file: File) -> Unmanaged<Gathered> {
        Unmanaged.fromOpaque((UnsafeMutableRawPointer(file) + stateOffset).load(as: UnsafeMutableRawPointer.self))
    }

    /// Runs an operation of the system's file, behind everything that was written.
    private static func behindWrites(_ file: File?, _ operation: (File, sqlite3_io_methods) -> Int32) -> Int32 {
        guard let file else { return SQLITE_MISUSE }
        let real = real(file)
        let code = gathered(file).takeUnretainedValue().flush(to: real)
        return code == SQLITE_OK ? operation(real, real.pointee.pMethods.pointee) : code
    }

    private static func fileMethods() -> UnsafeMutablePointer<sqlite3_io_methods> {
        let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        methods.initialize(to: sqlite3_io_methods())
        methods.pointee.iVersion = 3
        methods.pointee.xClose = { file in
            guard let file else { return SQLITE_MISUSE }
            let written = WriteCombining.behindWrites(file) { _, _ in SQLITE_OK }
            let real = WriteCombining.real(file)
            WriteCombining.gathered(file).release()
            let closed = real.pointee.pMethods.pointee.xClose(real)
            return written == SQLITE_OK ? closed : written
        }
        methods.pointee.xWrite = { file, data, amount, offset in
            guard let file, let data else { return SQLITE_MISUSE }
            return WriteCombining.gathered(file).takeUnretainedValue().write(data, Int(amount), at: offset, to: WriteCombining.real(file))
        }
        methods.pointee.xRead = { file, data, amount, offset in WriteCombining.behindWrites(file) { $1.xRead($0, data, amount, offset) } }
        methods.pointee.xTruncate = { file, size in WriteCombining.behindWrites(file) { $1.xTruncate($0, size) } }
        methods.pointee.xSync = { file, flags in WriteCombining.behindWrites(file) { $1.xSync($0, flags) } }
        methods.pointee.xFileSize = { file, size in WriteCombining.behindWrites(file) { $1.xFileSize($0, size) } }
        methods.pointee.xLock = { file, level in WriteCombining.behindWrites(file) { $1.xLock($0, level) } }
        methods.pointee.xUnlock = { file, level in WriteCombining.behindWrites(file) { $1.xUnlock($0, level) } }
        methods.pointee.xCheckReservedLock = { file, reserved in WriteCombining.behindWrites(file) { $1.xCheckReservedLock($0, reserved) } }
        methods.pointee.xFileControl = { file, operation, argument in WriteCombining.behindWrites(file) { $1.xFileControl($0, operation, argument) } }
        methods.pointee.xSectorSize = { file in
            file.map { WriteCombining.real($0).pointee.pMethods.pointee.xSectorSize(WriteCombining.real($0)) } ?? 0
        }
        methods.pointee.xDeviceCharacteristics = { file in
            file.map { WriteCombining.real($0).pointee.pMethods.pointee.xDeviceCharacteristics(WriteCombining.real($0)) } ?? 0
        }
        methods.pointee.xShmMap = { file, region, size, extend, place in
            WriteCombining.behindWrites(file) { $1.xShmMap($0, region, size, extend, place) }
        }
        methods.pointee.xShmLock = { file, offset, count, flags in WriteCombining.behindWrites(file) { $1.xShmLock($0, offset, count, flags) } }
        methods.pointee.xShmBarrier = { file in
            _ = WriteCombining.behindWrites(file) {
                $1.xShmBarrier($0)
                return SQLITE_OK
            }
        }
        methods.pointee.xShmUnmap = { file, delete in WriteCombining.behindWrites(file) { $1.xShmUnmap($0, delete) } }
        methods.pointee.xFetch = { file, offset, amount, page in WriteCombining.behindWrites(file) { $1.xFetch($0, offset, amount, page) } }
        methods.pointee.xUnfetch = { file, offset, page in WriteCombining.behindWrites(file) { $1.xUnfetch($0, offset, page) } }
        return methods
    }
}
