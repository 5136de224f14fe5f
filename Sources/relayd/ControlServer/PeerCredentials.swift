import Glibc
import NIOCore

/// Who is at the other end of a Unix socket, as the kernel noted when the connection was made: Linux's `struct ucred`
/// (unix(7), `SO_PEERCRED`), which Swift's Glibc does not show.
package struct PeerCredentials: Sendable, Equatable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32
    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }

    /// Asks the kernel. Any thread.
    static func of(_ channel: any Channel) async throws -> PeerCredentials {
        try await channel.eventLoop.submit {
            guard let socket = channel as? any SocketOptionProvider else { throw ChannelError.operationUnsupported }
            return socket
        }.flatMap { socket -> EventLoopFuture<PeerCredentials> in
            socket.unsafeGetSocketOption(level: .init(rawValue: CInt(SOL_SOCKET)), name: .init(rawValue: CInt(SO_PEERCRED)))
        }.get()
    }
}
