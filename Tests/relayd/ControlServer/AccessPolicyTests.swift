import Foundation
import RelayControl
import RelayControlServer
import Testing

@Suite struct AccessPolicyTests {
    /// `nobody` and its group are in Debian's base-passwd.
    private let nobody: UInt32 = 65_534

    private func access(uid: UInt32, gid: UInt32, admin: String = "daemon", view: String = "nogroup", own: UInt32 = 4242) -> ControlAccess? {
        AccessPolicy(adminGroup: admin, viewGroup: view, ownUID: own).access(of: PeerCredentials(pid: 1, uid: uid, gid: gid))
    }

    @Test func rootAndTheServiceMayDoEverything() {
        #expect(access(uid: 0, gid: 0) == .admin)
        #expect(access(uid: 4242, gid: 4242) == .admin)
    }

    @Test func theGroupOfTheProcessCounts() {
        #expect(access(uid: 54_321, gid: 1) == .admin)
        #expect(access(uid: 54_321, gid: 65_534) == .view)
    }

    @Test func theGroupsOfTheDatabaseCount() {
        // nobody's group in passwd(5) is nogroup, whatever group the process runs in.
        #expect(access(uid: nobody, gid: 54_321) == .view)
        #expect(access(uid: nobody, gid: 54_321, admin: "nogroup", view: "daemon") == .admin)
    }

    @Test func everybodyElseMayDoNothing() {
        #expect(access(uid: 54_321, gid: 54_321) == nil)
        #expect(access(uid: nobody, gid: nobody, admin: "daemon", view: "daemon") == nil)
    }

    @Test func missingGroupsHaveNoMembers() {
        #expect(access(uid: nobody, gid: nobody, admin: "relayd-no-such-group", view: "relayd-no-such-group") == nil)
    }
}
