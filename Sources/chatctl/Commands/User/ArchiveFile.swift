import Glibc
import RelayControl

/// Where an export goes: a new file that only its owner may read, or the standard output. Not shared between tasks.
final class ArchiveFile {
    private let path: String?
    private let descriptor: Int32
    private var finished = false

    /// - Parameter path: nil is the standard output. A file that is there stays as it is, and is an error.
    init(_ path: String?) throws(ControlError) {
        // Before anything is stored: `deinit` runs for a whole object even when its `init` throws, and would remove the file that is there.
        let opened = path.map { open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) } ?? STDOUT_FILENO
        if let path, opened < 0 {
            if errno == EEXIST {
                throw ControlError(.alreadyExists, "\(path) exists already, and is not overwritten", hint: "name another file with --output")
            }
            throw ControlError(.failed, "\(path) cannot be made: \(String(cString: strerror(errno)))", hint: "name another file with --output")
        }
        self.path = path
        descriptor = opened
    }

    deinit {
        guard let path else { return }
        close(descriptor)
        // Half an archive is none.
        if !finished { unlink(path) }
    }

    func write(_ text: String) throws(ControlError) {
        guard path != nil else { return StandardOutput.write(text) }
        guard FileDescriptor.failure(writing: text, to: descriptor) == nil else { throw failure("written") }
    }

    /// The archive is whole, and on the disk.
    func finish() throws(ControlError) {
        guard path != nil else { return }
        guard fsync(descriptor) == 0 else { throw failure("written to the disk") }
        finished = true
    }

    private func failure(_ what: String) -> ControlError {
        ControlError(
            .failed, "\(path ?? "the standard output") cannot be \(what): \(String(cString: strerror(errno)))",
            hint: "df says whether the disk is full")
    }
}
