import RelayModel

/// One thing an operator can ask of the daemon: a request that names its reply.
///
/// Over the socket it is `POST /v1/<path>` with the operation as a JSON body and the reply as JSON; an operation that only
/// reads also answers `GET` without a body when all its fields are optional.
package protocol ControlOperation: Codable, Sendable {
    associatedtype Reply: Codable & Sendable
    /// Which operation this is; it gives the path and who may call it.
    static var name: ControlOperationName { get }
    /// How long a client waits for the reply.
    static var patience: Duration { get }
}

extension ControlOperation {
    package static var patience: Duration { Limits.controlPatience }
}

/// Every operation there is. The server switches over all cases, so a new one does not compile until it is served.
package enum ControlOperationName: String, CaseIterable, Codable, Sendable {
    case hello
    case status
    case userAdd = "user/add"
    case userList = "user/list"
    case userShow = "user/show"
    case userRemove = "user/remove"
    case userSuspend = "user/suspend"
    case userResume = "user/resume"
    case userExport = "user/export"
    case userErasePlan = "user/erase/plan"
    case userEraseApply = "user/erase/apply"
    case userEraseCancel = "user/erase/cancel"
    case userEraseStatus = "user/erase/status"
    case inviteCreate = "invite/create"
    case inviteList = "invite/list"
    case inviteRevoke = "invite/revoke"
    case deviceList = "device/list"
    case deviceShow = "device/show"
    case deviceRevoke = "device/revoke"
    case deviceKick = "device/kick"
    case keyList = "key/list"
    case keyShow = "key/show"
    case keyAudit = "key/audit"
    case keyRevoke = "key/revoke"
    case keyExpire = "key/expire"
    case contactList = "contact/list"
    case contactAdd = "contact/add"
    case blockList = "block/list"
    case blockAdd = "block/add"
    case blockRemove = "block/remove"
    case blockAudit = "block/audit"
    case retentionShow = "retention/show"
    case retentionSet = "retention/set"
    case retentionAssign = "retention/assign"
    case retentionPlan = "retention/plan"
    case retentionPurge = "retention/purge"
    case retentionStop = "retention/stop"
    case retentionStatus = "retention/status"
    case retentionVerify = "retention/verify"
    case alertList = "alert/list"
    case alertShow = "alert/show"
    case alertAcknowledge = "alert/acknowledge"
    case alertTest = "alert/test"
    case alertKinds = "alert/kinds"
    // MARK: Metrics; their text for Prometheus is `GET /v1/metrics`.
    case metricsShow = "metrics/show"
    case metricsHistory = "metrics/history"
    case metricsPeople = "metrics/people"
    case metricsBudget = "metrics/budget"
    case presenceSummary = "presence/summary"
    // MARK: Privacy audit
    case privacyFacts = "privacy/facts"
    case auditList = "audit/list"
    // MARK: Configuration, checks, live views
    case configShow = "config/show"
    case configDiff = "config/diff"
    case checkStore = "check/store"
    case health
    case top
    // MARK: Operators' log
    case auditVerify = "audit/verify"
    // MARK: Backups
    case backupCreate = "backup/create"
    case backupVerify = "backup/verify"
    case backupStatus = "backup/status"
    case backupList = "backup/list"
    case backupPrune = "backup/prune"

    /// Path below `/v1/`.
    package var path: String { rawValue }

    /// Who may call it.
    package var access: ControlAccess {
        switch self {
        case .hello, .status, .userList, .userShow, .inviteList, .deviceList, .deviceShow, .auditList, .keyList, .keyShow, .keyAudit,
            .contactList, .blockList, .blockAudit, .userErasePlan, .userEraseStatus, .retentionShow, .retentionPlan,
            .retentionStatus, .retentionVerify, .alertList, .alertShow, .alertKinds, .metricsShow, .metricsHistory, .metricsPeople, .metricsBudget,
            .presenceSummary, .configShow, .configDiff, .health, .top, .auditVerify, .backupStatus, .backupList:
            .view
        // An export changes nothing, but it takes what is known about a person out of the relay; an audit is for who may read the store.
        case .userAdd, .userRemove, .userSuspend, .userResume, .userExport, .inviteCreate, .inviteRevoke, .deviceRevoke, .deviceKick, .contactAdd,
            .blockAdd, .blockRemove, .userEraseApply, .userEraseCancel, .keyRevoke, .keyExpire, .retentionSet, .retentionAssign,
            .retentionPurge, .retentionStop, .alertAcknowledge, .alertTest, .privacyFacts, .checkStore, .backupCreate, .backupVerify,
            .backupPrune:
            .admin
        }
    }

    /// Every call is written to the operators' log, also one that fails or is refused.
    package var isAudited: Bool {
        switch self {
        case .privacyFacts, .backupVerify: false
        default: access == .admin
        }
    }
}

/// What a peer of the control socket may do, decided by its credentials.
package enum ControlAccess: Int, Comparable, Sendable {
    /// Members of the viewer group: read only.
    case view = 1
    /// Root, the service user and members of the admin group.
    case admin = 2

    package static func < (left: ControlAccess, right: ControlAccess) -> Bool { left.rawValue < right.rawValue }
}

/// The version of this protocol. A client refuses a daemon with another one.
package let controlProtocolVersion = 1
