import Glibc

/// What the kernel says about the disk below a directory.
struct DataDisk: Equatable {
    enum Kind: Equatable {
        case rotating, flash
        /// Of a virtual machine, or nothing is known.
        case virtual
    }

    /// Such as `nvme0n1`; empty when there is none.
    var device: String
    var kind: Kind
    /// Such as `ext4`.
    var fileSystem: String
    /// The device says that its cache does not survive a power cut.
    var hasVolatileCache: Bool
    var hasBarriersOff = false

    init(device: String, kind: Kind, fileSystem: String, hasVolatileCache: Bool, hasBarriersOff: Bool = false) {
        self.device = device
        self.kind = kind
        self.fileSystem = fileSystem
        self.hasVolatileCache = hasVolatileCache
        self.hasBarriersOff = hasBarriersOff
    }

    var isMemory: Bool { ["tmpfs", "ramfs", "devtmpfs"].contains(fileSystem) }
    var isNetwork: Bool { ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "glusterfs"].contains(fileSystem) }

    /// `nvme0n1 (flash, ext4)`
    var words: String {
        let kind =
            switch self.kind {
            case .rotating: "rotating disk"
            case .flash: "flash"
            case .virtual: "virtual disk"
            }
        return device.isEmpty ? fileSystem : "\(device) (\(kind), \(fileSystem))"
    }

    /// - Parameter root: in front of `/proc` and `/sys`.
    init(of directory: String, root: String = "") {
        let mount = Mount.of(directory, in: FileFacts.text("\(root)/proc/self/mountinfo") ?? "")
        var status = stat()
        // File systems with several disks have a number of their own; their source is one of the disks.
        let number =
            mount.source.hasPrefix("/dev/") && stat(mount.source, &status) == 0 ? status.st_rdev : stat(directory, &status) == 0 ? status.st_dev : 0
        let (major, minor) = ((number >> 8) & 0xFFF | (number >> 32) & ~0xFFF, number & 0xFF | (number >> 12) & ~0xFF)
        self.init(block: FileFacts.target(of: "\(root)/sys/dev/block/\(major):\(minor)"), mount, root: root)
    }

    /// - Parameter block: where sysfs has the device, such as `../../devices/pci0000:00/…/block/sda/sda1`.
    private init(block: String?, _ mount: Mount, root: String) {
        fileSystem = mount.fileSystem
        hasBarriersOff = mount.options.contains { ["nobarrier", "barrier=0"].contains($0) }
        var names = block?.split(separator: "/").map(String.init) ?? []
        func file(_ name: String, _ path: String) -> String? {
            FileFacts.text("\(root)/sys/class/block/\(name)/\(path)")?.split(separator: "\n").first.map(String.init)
        }
        // A partition's queue is its disk's; a mapped device stands on others.
        if let last = names.last, file(last, "partition") != nil { names.removeLast() }
        var name = names.last ?? ""
        for _ in 0..<8 {
            guard let below = FileFacts.names(in: "\(root)/sys/class/block/\(name)/slaves")?.first, !name.isEmpty else { break }
            name = below
            if file(name, "partition") != nil,
                let disk = FileFacts.target(of: "\(root)/sys/class/block/\(name)")?.split(separator: "/").dropLast().last
            {
                name = String(disk)
            }
        }
        device = name
        hasVolatileCache = file(name, "queue/write_cache") == "write back"
        let vendor = file(name, "device/vendor") ?? ""
        let isVirtual =
            name.isEmpty || ["vd", "xvd", "loop", "ram", "zram", "nbd"].contains(where: name.hasPrefix)
            || ["QEMU", "VMware", "Msft", "VBOX", "Virtual"].contains(where: vendor.hasPrefix)
        kind = isVirtual ? .virtual : file(name, "queue/rotational") == "1" ? .rotating : .flash
    }
}

/// A line of proc(5)'s `mountinfo`.
struct Mount: Equatable {
    var fileSystem = "unknown"
    var source = ""
    var options: [String] = []

    /// What a directory lies in: the last of those with the longest path.
    static func of(_ directory: String, in mountinfo: String) -> Mount {
        let real = realpath(directory, nil).map { path in
            defer { free(path) }
            return String(cString: path)
        }
        let directory = real ?? directory
        var best = Mount()
        var length = -1
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count > 9, let dash = fields.firstIndex(of: "-"), dash + 3 < fields.count else { continue }
            let point = fields[4]
            guard directory == point || directory.hasPrefix(point == "/" ? "/" : point + "/"), point.utf8.count >= length else { continue }
            length = point.utf8.count
            let options = fields[5].split(separator: ",") + fields[dash + 3].split(separator: ",")
            best = Mount(fileSystem: fields[dash + 1], source: fields[dash + 2], options: options.map(String.init))
        }
        return best
    }
}
