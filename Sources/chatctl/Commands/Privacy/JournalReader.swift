import Glibc

/// The relay's lines in systemd's journal, as journalctl(1) prints them.
enum JournalReader {
    /// Calls `body` with each piece of them; the last call has an empty one.
    static func read(_ body: (UnsafeRawBufferPointer) -> Void) throws(PrivacySkip) {
        // The message has every field of the line.
        let arguments = ["journalctl", "--unit=relayd", "--output=cat", "--no-pager", "--quiet"]
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw PrivacySkip(reason: "no pipe: \(String(cString: strerror(errno)))") }
        defer { close(ends[0]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var child: pid_t = 0
        let words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        let code = posix_spawnp(&child, "journalctl", &actions, nil, words, nil)
        close(ends[1])
        guard code == 0 else { throw PrivacySkip(reason: "journalctl cannot be started: \(String(cString: strerror(code)))") }
        var status: Int32 = 0
        do throws(PrivacySkip) {
            try ScannedFile.read(descriptor: ends[0], "the journal", body)
        } catch {
            kill(child, SIGTERM)
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            throw error
        }
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else { throw PrivacySkip(reason: "journalctl failed: may this user read the journal?") }
    }
}
