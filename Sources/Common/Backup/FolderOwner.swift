import Glibc

/// Root works in a service's folder with the service's own rights: a link that somebody put there leads nowhere that the service could not go by itself, and
/// what is made there is the service's. For whoever is not root, and in a folder of root's, nothing changes.
///
/// The whole process has those rights until ``end()``: for programs that do one thing.
package struct FolderOwner {
    /// Some of root's rights are missing, as in a container.
    package struct Refused: Error { package var description: String }

    private let isOther: Bool

    package init(of folder: String) throws(Refused) {
        var status = stat()
        isOther = geteuid() == 0 && stat(folder, &status) == 0 && status.st_uid != 0
        guard isOther else { return }
        // The group first: a user who is not root could not change it.
        guard setegid(status.st_gid) == 0, seteuid(status.st_uid) == 0 else {
            throw Refused(description: "root may not act as user \(status.st_uid), whose folder \(folder) is: \(String(cString: strerror(errno)))")
        }
    }

    package func end() {
        guard isOther else { return }
        _ = seteuid(0)
        _ = setegid(0)
    }
}
