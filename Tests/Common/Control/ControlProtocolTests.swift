import Foundation
import RelayControl
import RelayModel
import Testing

@Suite struct ControlProtocolTests {
    /// Both columns are promises to scripts: a change here breaks them.
    @Test(
        "Every error code has its HTTP status and its exit status",
        arguments: [
            (ControlErrorCode.badRequest, "bad_request", 400, 64), (.notPermitted, "not_permitted", 403, 77), (.notFound, "not_found", 404, 1),
            (.alreadyExists, "already_exists", 409, 1), (.limitReached, "limit_reached", 422, 1), (.tryAgain, "try_again", 503, 75),
            (.daemonUnreachable, "daemon_unreachable", 503, 69), (.versionMismatch, "version_mismatch", 426, 69),
            (.configuration, "configuration", 500, 78), (.failed, "failed", 500, 1),
        ])
    func codes(code: ControlErrorCode, text: String, http: Int, exit: Int32) {
        #expect(code.rawValue == text)
        #expect(code.httpStatus == http)
        #expect(code.exitStatus == exit)
    }

    @Test func errorsTravelAsJSON() throws {
        let error = ControlError(.alreadyExists, "there is a user alice already", hint: "chatctl user show alice")
        let data = try JSONEncoder().encode(error)
        #expect(try JSONDecoder().decode(ControlError.self, from: data) == error)
    }

    /// And exports: what they take out is more than a list shows.
    @Test func onlyChangesNeedAnAdministrator() {
        let changes: Set<ControlOperationName> = [
            .userAdd, .userRemove, .userSuspend, .userResume, .userExport, .inviteCreate, .inviteRevoke, .deviceRevoke, .deviceKick, .contactAdd,
            .blockAdd, .blockRemove, .userEraseApply, .userEraseCancel, .keyRevoke, .keyExpire, .retentionSet, .retentionAssign,
            .retentionPurge, .retentionStop, .alertAcknowledge, .alertTest, .privacyFacts, .checkStore, .backupCreate, .backupVerify,
            .backupPrune,
        ]
        for name in ControlOperationName.allCases { #expect((name.access == .admin) == changes.contains(name), "\(name.path)") }
        #expect(ControlAccess.view < .admin)
    }

    /// What relayd gives up by itself, or does to its end, it also says.
    @Test func clientsWaitLongerThanRelayd() {
        #expect(AlertTest.patience > Limits.alertPatience)
        #expect([UserErasePlan.patience, UserEraseApply.patience] == [Limits.longControlPatience, Limits.longControlPatience])
        #expect(UserEraseCancel.patience == Limits.controlPatience)
    }

    @Test func valuesOfTheConfigurationKeepTheirType() throws {
        for value in [ConfigurationValue.text("1"), .text(""), .number(1), .number(0), .flag(true), .flag(false)] {
            #expect(try JSONDecoder().decode([ConfigurationValue].self, from: try JSONEncoder().encode([value])) == [value])
        }
        #expect(ConfigurationValue.text("a\"b\\").description == #""a\"b\\""#)
    }

    @Test func absentFieldsStayAbsent() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        #expect(String(decoding: try encoder.encode(UserAdd(user: "alice")), as: UTF8.self) == #"{"user":"alice"}"#)
        #expect(String(decoding: try encoder.encode(Status()), as: UTF8.self) == "{}")
        // Identifiers are strings: many readers round numbers above 2^53.
        #expect(
            String(decoding: try encoder.encode(DeviceRevoke(device: DeviceID(9_007_199_254_740_993), dryRun: true)), as: UTF8.self)
                == #"{"device":"9007199254740993","dryRun":true}"#)
    }
}
