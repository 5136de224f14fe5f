import Foundation
import RelayControl
import RelayModel
import RelayTestSupport
import Testing

@testable import ChatctlCommands
@testable import RelayClient

/// What chatctl prints for fixed replies, byte for byte; see ``Golden``.
@Suite struct GoldenTests {
    private static let now = Golden.now
    private static let later = now + .seconds(24 * 3600 - 1)

    private static let phone = DeviceRecord(
        id: DeviceID(382_364_223_419_711_500), user: "alice", name: "phone", fingerprint: "01ab 23cd 45ef 6789 01ab 23cd 45ef 6789", createdAt: now,
        online: true, pending: 0)
    /// A device names itself: what would drive a terminal must not get through.
    private static let evil = DeviceRecord(
        id: DeviceID(382_364_223_419_711_501), user: "alice", name: "\u{1B}[2Jlaptop\u{202E}", fingerprint: "ffff 23cd 45ef 6789 01ab 23cd 45ef 6789",
        createdAt: now, online: false, pending: 1234)
    private static let alice = UserRecord(
        id: UserID(382_364_223_419_711_488), name: "alice", displayName: "Alice Ünsal", avatar: "https://example.org/a.png", createdAt: now,
        devices: [phone, evil], openInvites: 1)
    private static let wide = UserRecord(
        id: UserID(382_364_223_419_711_489), name: "陽子", displayName: "🦊 e\u{301}", avatar: nil, createdAt: now, devices: [], openInvites: 0)
    private static let suspended = UserRecord(
        id: UserID(382_364_223_419_711_490), name: "bot", displayName: nil, avatar: nil, createdAt: now, devices: [], openInvites: 0,
        suspendedAt: later, suspendedReason: "sent too much", noLimits: true)
    private static let invite = InviteIssued(
        id: InviteID(382_364_223_419_711_600), user: "alice", code: "5V8ZR-RX8WV-8ARR9-FYRZ8-TX85A-G",
        link: "https://chat.example.org/enrol#5V8ZR-RX8WV-8ARR9-FYRZ8-TX85A-G", expiresAt: later)
    private static let invites = InviteList.Reply(
        invites: zip([InviteState.open, .used, .expired, .revoked], UInt64(1)...).map {
            InviteRecord(id: InviteID($1), user: "alice", state: $0, createdAt: now, expiresAt: later)
        })
    private static let audit = AuditList.Reply(entries: [
        AuditRecord(number: 43, at: later, uid: 1001, operation: "user/add", result: "not_permitted", missed: 2, subject: "", reason: nil),
        AuditRecord(number: 42, at: later, uid: 1000, operation: "user/remove", result: "done", subject: "bob", reason: "left"),
        AuditRecord(number: 41, at: now, uid: 0, operation: "user/add", result: "done", subject: "bob", reason: nil),
    ])
    static let status = Status.Reply(
        relayVersion: "0.1.0", startedAt: Timestamp(milliseconds: now.milliseconds - 7_200_000), now: now, processID: 4711,
        listening: ["http://127.0.0.1:8480"], publicURL: "https://chat.example.org", users: 2, devices: 3, openInvites: 1, connections: 1234,
        messagesAccepted: 1_000_000, envelopesDelivered: 2_345_678, requestsRefused: 1, storeBytes: 1_610_612_736, writerQueue: 7,
        commandsApplied: 1_000_010, commits: 20_000, residentBytes: 50_331_648, cpuMicroseconds: 12_345_678, isExact: true,
        health: Health.Reply(reasons: []), openAlerts: 0, undelivered: 4096, diskBytes: 107_374_182_400, diskFreeBytes: 85_899_345_920)

    private func check<Reply: Encodable>(_ name: String, _ reply: Reply, page: (inout Page) -> Void) throws {
        try Golden.check(name, reply, page: page)
    }
    private func compare(_ text: String, _ name: String) throws { try Golden.compare(text, name) }

    @Test func clientKeys() throws {
        let account = Account(
            relay: "http://127.0.0.1:8480", user: UserID(382_364_223_419_711_488), userName: "alice", device: DeviceID(382_364_223_419_711_500),
            deviceName: "phone")
        let key = [UInt8](repeating: 7, count: 32)
        let records = [
            AgreementKeyRecord(version: nil, agreementKey: key, since: Self.later, stage: .pending),
            AgreementKeyRecord(version: 12, agreementKey: key.map { $0 + 1 }, since: Self.now, stage: .current),
            AgreementKeyRecord(version: 11, agreementKey: key.map { $0 + 2 }, since: Timestamp(milliseconds: 0), stage: .former(until: Self.later)),
        ]
        let report = ClientKeysReport(records, account)
        try check("client-keys", report) { $0.clientKeys(report) }
    }
    @Test func userList() throws {
        try check("user-list", UserList.Reply(users: [Self.alice, Self.suspended, Self.wide], next: "陽子")) {
            $0.users([Self.alice, Self.suspended, Self.wide])
        }
    }
    @Test func userShow() throws { try check("user-show", Self.alice) { $0.user(Self.alice) } }
    @Test func userSuspended() throws { try check("user-suspended", Self.suspended) { $0.user(Self.suspended) } }
    @Test func userWithRelations() throws {
        var user = Self.suspended
        user.relations = UserRelations(accepted: 1234, requested: 2, incoming: 3, ignored: 4, blocks: 5, blockedBy: 6, groups: 7)
        try check("user-relations", user) { $0.user(user) }
    }
    @Test func userExported() throws {
        let report = UserExportCommand.Report(
            user: "alice", file: "alice.json", entries: ["devices": 2, "messages": 123_456, "audit": 0, "chats": 1])
        try check("user-exported", report) { $0.exported(report) }
    }
    @Test func exportedArchive() throws {
        var archive = ArchiveText()
        let user = ExportedUser(
            id: Self.alice.id, name: "alice", displayName: "Alice Ünsal", avatar: nil, createdAt: Self.now, suspendedAt: nil, suspendedReason: nil,
            noLimits: false)
        let device = ExportedDevice(
            id: Self.phone.id, name: "phone", enrolledAt: Self.now, revoked: false, identityKey: "aWQ=", agreementKey: "YWc=",
            agreementSignature: "c2ln", cursor: MessageID(382_364_223_419_711_700), clientMessageID: 7)
        var text = try archive.begin(user, at: Self.later)
        text += archive.open(.devices)
        for entry in [device, device] { text += try archive.entry(entry) }
        text += archive.close() + archive.open(.messages) + archive.close() + archive.end()
        try compare(text, "user-export.json")
        #expect(try JSONSerialization.jsonObject(with: Data(text.utf8)) is [String: Any])
    }
    @Test func contactList() throws {
        let reply = ContactList.Reply(
            contacts: zip(ContactStanding.allCases, UInt64(1)...).map {
                ContactRecord(user: "alice", peer: "peer\($1)", peerID: UserID($1), state: $0, since: $1 == 2 ? nil : Self.now)
            }, next: UserID(7))
        try check("contact-list", reply) { $0.contacts(reply.contacts) }
    }
    @Test func blockList() throws {
        let reply = BlockList.Reply(
            blocks: [BlockRecord(user: "alice", peer: "陽子", since: Self.now), BlockRecord(user: "bob", peer: "alice", since: nil)], next: "2:1")
        try check("block-list", reply) { $0.blocks(reply.blocks) }
    }
    @Test func blockAdded() throws {
        let cases = [(false, true, 0), (false, true, 1), (false, false, 2), (true, true, 1), (true, false, 0)]
        #expect(
            cases.map { BlockAddCommand.sentence(.init(user: "a", peer: "b", dryRun: $0.0, changed: $0.1, groupsLeft: $0.2)) } == [
                "a blocks b, and left no group.", "a blocks b, and left 1 shared group.", "a goes on blocking b, and left 2 shared groups.",
                "a would block b, and would leave 1 shared group.", "a would go on blocking b, and would leave no group.",
            ])
    }

    private static let keys = [
        KeyRecord(
            device: phone.id, user: "alice", name: "phone", enrolledAt: now, revoked: false, identityFingerprint: phone.fingerprint,
            agreementFingerprint: "1111 23cd 45ef 6789 01ab 23cd 45ef 6789", signatureValid: true,
            prekeys: PrekeyRecord(
                agreementVersion: 2, agreementSince: Timestamp(milliseconds: now.milliseconds - 90_000_000), signedPrekey: 7,
                signedPrekeySince: Timestamp(milliseconds: now.milliseconds - 180_000), lastResortPrekey: nil, lastResortPrekeySince: nil,
                oneTimePrekeys: 9, highestOneTimeID: 100,
                replaced: [
                    ReplacedKeyRecord(kind: .agreement, id: 1, validUntil: later), ReplacedKeyRecord(kind: .lastResort, id: 4, validUntil: later),
                ])),
        KeyRecord(
            device: DeviceID(382_364_223_419_711_502), user: "bob", name: "new", enrolledAt: now, revoked: false,
            identityFingerprint: phone.fingerprint, agreementFingerprint: phone.fingerprint, signatureValid: true,
            prekeys: PrekeyRecord(
                agreementVersion: 1, agreementSince: nil, signedPrekey: nil, signedPrekeySince: nil, lastResortPrekey: 3, lastResortPrekeySince: nil,
                oneTimePrekeys: 0, highestOneTimeID: nil, replaced: [])),
        KeyRecord(
            device: evil.id, user: nil, name: nil, enrolledAt: now, revoked: true, identityFingerprint: evil.fingerprint,
            agreementFingerprint: "2222 23cd 45ef 6789 01ab 23cd 45ef 6789", signatureValid: false),
    ]
    @Test func keyList() throws { try check("key-list", KeyList.Reply(keys: Self.keys, next: Self.evil.id)) { $0.keys(Self.keys) } }
    @Test func keyShow() throws {
        try check("key-show", Self.keys[0]) { $0.key(Self.keys[0]) }
        try check("key-show-new", Self.keys[1]) { $0.key(Self.keys[1]) }
    }
    @Test func keyRevoked() throws {
        let device = Self.phone.id
        func sentence(_ dryRun: Bool, _ signed: Bool, _ lastResort: Bool, _ oneTime: Int, user: String? = "alice") -> String {
            KeyRevokeCommand.sentence(
                .init(device: device, user: user, dryRun: dryRun, signedPrekey: signed, lastResortPrekey: lastResort, oneTimePrekeys: oneTime))
        }
        #expect(
            sentence(false, true, true, 1)
                == "Took away from device \(device) of alice: the signed prekey, the last-resort prekey, 1 one-time prekey.")
        #expect(sentence(true, false, false, 99, user: nil) == "Would take away from device \(device): 99 one-time prekeys.")
        let expired = [(false, 1), (false, 2), (true, 1)].map {
            KeyExpireCommand.sentence(.init(device: device, user: "alice", dryRun: $0.0, expired: $0.1))
        }
        #expect(
            expired == [
                "1 replaced key of device \(device) of alice is not valid any more.",
                "2 replaced keys of device \(device) of alice are not valid any more.",
                "1 replaced key of device \(device) of alice would not be valid any more.",
            ])
        let reply = KeyRevoke.Reply(device: device, user: "alice", dryRun: false, signedPrekey: true, lastResortPrekey: false, oneTimePrekeys: 3)
        try check("key-revoke", reply) { $0.line(KeyRevokeCommand.sentence(reply)) }
    }

    private static func erasure(_ state: ErasureReport.State, dueAt: Timestamp? = nil, grace: Int = 7 * 86_400) -> ErasureReport {
        ErasureReport(
            user: "alice", id: alice.id, state: state, graceSeconds: grace, dueAt: dueAt, plan: "0123-4567-89ab-cdef",
            entries: state == .pending
                ? nil
                : [
                    ErasureEntry(part: "devices", goes: 2, stays: 0, why: "all"),
                    ErasureEntry(part: "messages", goes: 12, stays: 12_345, why: "what others can read is theirs"),
                ],
            files: state == .pending
                ? nil
                : [
                    ErasureFile(file: "write-ahead log", holds: state == .erased, why: "somebody was reading all the time"),
                    ErasureFile(file: "backups", holds: false, why: "relayd makes none"),
                ])
    }
    @Test func userErasure() throws {
        for (name, report) in [
            ("plan", Self.erasure(.planned)), ("plan-again", Self.erasure(.planned, dueAt: Self.later, grace: 5400)),
            ("pending", Self.erasure(.pending, dueAt: Self.later)), ("erased", Self.erasure(.erased, grace: 0)),
        ] { try check("user-erase-\(name)", report) { $0.erasure(report) } }
        #expect(
            [0, 1, 60, 5400, 86_400, 90_000].map(GraceOptions.text) == [
                "--now", "--grace 1s", "--grace 1m", "--grace 90m", "--grace 1d", "--grace 25h",
            ])
        let list = UserEraseStatus.Reply(erasures: [
            ErasureRecord(id: UserID(7), user: nil, askedAt: Self.now, dueAt: Self.now, hasBegun: true),
            ErasureRecord(id: Self.alice.id, user: "alice", askedAt: Self.now, dueAt: Self.later, hasBegun: false),
        ])
        try check("user-erase-status", list) { $0.erasures(list.erasures) }
        var user = Self.suspended
        user.eraseAt = Self.later
        try check("user-to-be-erased", user) { $0.user(user) }
    }
    @Test func keyAudit() throws {
        let good = KeyAuditCommand.Report(checked: 1234, wrong: [], wrongCount: 0)
        try check("key-audit", good) { $0.keyAudit(good) }
        let changed = KeyAuditCommand.Report(
            checked: 1, wrong: [], wrongCount: 0,
            changes: [
                AuditRecord(
                    number: 7, at: Self.now, uid: 0, operation: "key/revoke", result: "done", subject: Self.phone.id.description, reason: "leaked")
            ])
        try check("key-audit-changes", changed) { $0.keyAudit(changed) }
        let bad = KeyAuditCommand.Report(checked: 1234, wrong: [Self.keys[2]], wrongCount: 1)
        try check("key-audit-wrong", bad) { $0.keyAudit(bad) }
    }
    @Test func inviteIssued() throws {
        let code = try QRCode.render(Self.invite.link, color: false)
        try check("invite-issued", Self.invite) { $0.issued(Self.invite, code: code) }
    }
    @Test func inviteList() throws { try check("invite-list", Self.invites) { $0.invites(Self.invites.invites) } }
    @Test func deviceList() throws {
        try check("device-list", DeviceList.Reply(devices: [Self.phone, Self.evil])) { $0.devices([Self.phone, Self.evil]) }
    }
    @Test func deviceShow() throws { try check("device-show", Self.evil) { $0.device(Self.evil) } }
    @Test func auditVerify() throws {
        let reply = AuditVerify.Reply(
            entries: 1234, first: 1, last: 1234, lastAt: Self.now, erased: 2, hash: String(repeating: "0123456789abcdef", count: 4), findings: [])
        try check("audit-verify", reply) { $0.audit(reply) }
    }
    @Test func auditList() throws { try check("audit-list", Self.audit) { $0.audit(Self.audit.entries) } }
    @Test func statusPage() throws { try check("status", Self.status) { $0.status(Self.status) } }
    @Test func statusOfAViewer() throws {
        var status = Self.status
        status.isExact = false
        status.users = 64
        status.devices = 2
        status.messagesAccepted = 0
        status.openAlerts = 1
        status.health = Health.Reply(reasons: [HealthReason(.alert, "alert disk_low: the disk is nearly full")])
        try check("status-viewer", status) { $0.status(status) }
    }
    @Test func health() throws {
        for (name, reasons) in [
            ("health-ready", []), ("health-degraded", [HealthReason(.overloaded, "at least 16384 commands wait for the disk")]),
            ("health-not-ready", [HealthReason(.starting, "relayd is starting"), HealthReason(.alert, "alert disk_low: the disk is nearly full")]),
        ] as [(String, [HealthReason])] {
            let reply = Health.Reply(reasons: reasons)
            try check(name, reply) { $0.health(reply) }
        }
    }
    private static let options = [
        ConfigurationRecord(
            name: "listen.address", unit: nil, value: .text("[::1]:9000"), standard: .text("127.0.0.1:8480"), line: 3, reloadable: false,
            secret: false,
            allowed: "an address", text: "Where clients connect."),
        ConfigurationRecord(
            name: "limits.message_bytes", unit: "bytes", value: .number(65664), standard: .number(65664), line: nil, reloadable: false, secret: false,
            allowed: "a whole number from 1024 to 1048704", text: "The largest message."),
        ConfigurationRecord(
            name: "alerts.webhook", unit: nil, value: .text("http://127.0.0.1/secret"), standard: .text(""), line: 9, reloadable: true, secret: true,
            allowed: "a URL", text: "A server."),
    ]
    @Test func configShow() throws {
        let reply = ConfigShow.Reply(path: "/etc/relayd/relayd.toml", options: Self.options)
        try check("config-show", reply) { $0.configuration(reply) }
        try check("config-show-key", Self.options[1]) { $0.configurationKey(Self.options[1], reply.path) }
        let defaults = ConfigShow.Reply(path: nil, options: [])
        try check("config-show-none", defaults) { $0.configuration(defaults) }
    }
    @Test func configDiff() throws {
        let reply = ConfigDiff.Reply(
            path: "/etc/relayd/relayd.toml",
            differences: [
                ConfigurationDifference(name: "store.readers", running: .number(2), file: .number(3), line: 7, needs: .restart),
                ConfigurationDifference(name: "log.level", running: .text("debug"), file: .text("info"), line: nil, needs: .reload),
                ConfigurationDifference(name: "alerts.webhook", running: nil, file: nil, line: 9, needs: .reload),
            ])
        try check("config-diff", reply) { $0.configurationDifferences(reply) }
        let none = ConfigDiff.Reply(path: "/etc/relayd/relayd.toml", differences: [])
        try check("config-diff-none", none) { $0.configurationDifferences(none) }
    }
    @Test func checkReport() throws {
        let report = CheckReport([
            CheckFinding(group: .relay, check: "relayd", result: .good, text: "0.1.0, running for 3 d", advice: nil),
            CheckFinding(group: .files, check: "configuration", result: .error, text: "others may change it (0666)", advice: "chmod go-w it"),
            CheckFinding(group: .files, check: "store", result: .skipped, text: "cannot be looked at: run it as root", advice: nil),
            CheckFinding(group: .host, check: "clock", result: .warning, text: "the clock may be 2.0 s wrong", advice: "chronyc tracking says why"),
        ])
        try check("check", report) { $0.check(report) }
        let warned = CheckReport(report.findings.filter { $0.result != .error })
        try check("check-warnings", warned) { $0.check(warned) }
        let good = CheckReport([report.findings[0]])
        try check("check-good", good) { $0.check(good) }
    }
    @Test func topLine() throws {
        var looks = TopLooks()
        for index in 0...4 {
            looks.add(
                TopTests.look(
                    Int64(index) * 15, sends: index * 4096, deliveries: index * 8192, latencies: [index * 90, index, 0], cpu: index * 5_000_000))
        }
        let figures = try #require(looks.figures)
        try check("top", figures) { $0.line(figures.line) }
        let screen = TopPage(looks: looks, color: false, ascii: false).lines(columns: 80).joined(separator: "\n") + "\n"
        try compare(screen, "top.screen")
    }

    // MARK: The client

    private static let team = ChatID(382_364_223_419_712_000)

    private static func entry(_ seq: UInt64, _ kind: HistoryEntry.Kind, text: String? = nil, problem: String? = nil) -> HistoryEntry {
        HistoryEntry(
            chat: team, chatSeq: seq, message: MessageID(382_364_223_419_713_000 + seq), senderUser: UserID(382_364_223_419_711_488),
            senderDevice: phone.id, clientMessageID: seq, sentAt: now, writtenAt: kind == .message ? now : nil, text: text, problem: problem,
            senderName: "alice", with: "the crew", kind: kind, inGroup: true)
    }

    private static func change(_ action: GroupAction, _ names: [String], _ role: GroupRole? = nil) -> HistoryEntry.Kind {
        var record = GroupChangeRecord(action: action, users: names.indices.map { UserID(UInt64($0) + 1) }, role: role)
        record.names = names
        return .change(record)
    }

    @Test func clientHistory() throws {
        let entries = [
            Self.entry(1, Self.change(.create, ["bob", "carol"])), Self.entry(2, Self.change(.rename, []), text: "the crew"),
            Self.entry(3, .message, text: "hello"), Self.entry(4, .deleted(forEveryone: true)), Self.entry(5, .deletion([4])),
            Self.entry(6, Self.change(.setRole, ["bob"], .admin)), Self.entry(10, .message, problem: "the seal is broken"),
        ]
        let gaps = [
            GapRecord(chat: Self.team, places: 7...8, gone: true), GapRecord(chat: Self.team, places: 9...9, gone: false),
        ]
        let report = ClientHistoryCommand.Report(messages: entries.map { MessageReport($0) }, gaps: gaps.map { GapReport($0) })
        try check("client-history", report) { $0.history(entries, gaps: gaps) }
    }

    @Test func clientGroups() throws {
        let groups = [
            GroupReport(GroupRecord(chat: Self.team, title: "the crew", role: .owner, memberCount: 1000, joinedSeq: 1, leftSeq: 0)),
            GroupReport(GroupRecord(chat: ChatID(382_364_223_419_712_001), title: nil, role: nil, memberCount: 2, joinedSeq: 1, leftSeq: 9)),
            GroupReport(GroupRecord(chat: ChatID(382_364_223_419_712_002), title: nil, role: .member, memberCount: 3, joinedSeq: 1, leftSeq: 0)),
        ]
        try check("client-group-list", ClientGroupListCommand.Report(groups: groups)) { $0.groups(groups) }
        let detail = GroupDetailReport(
            group: groups[0],
            members: [.init(user: UserID(1), name: "alice", role: "owner"), .init(user: UserID(2), name: nil, role: "member")])
        try check("client-group-show", detail) { $0.group(detail) }
    }

    @Test func clientChanges() throws {
        let letter = DeadLetter(
            id: 7, recipient: "the crew", text: "", writtenAt: Self.now, code: "not_permitted", reason: "only an admin may do that",
            command: .add(users: ["dave"]))
        let outcome = ChangeOutcome(to: "the crew", messages: 1, reached: "sent", dead: [DeadLetterReport(letter)], chat: Self.team)
        try check("client-change", outcome) { $0.line("dave added to the crew.", .good) }
    }

    private static func contact(
        _ name: String, _ user: UInt64?, _ state: ContactState, below: ContactState = .none, category: String = "", decisions: [ContactDecision] = []
    ) -> KnownContact {
        KnownContact(
            name: name, user: user.map { UserID($0) }, relayState: state, relayCategory: category, version: 1, below: below, decisions: decisions)
    }

    private static func decision(_ name: String, _ action: ContactAction?, category: String? = nil, conflict: Bool = false) -> ContactDecision {
        ContactDecision(id: 1, name: name, action: action, category: category, basedOn: 1, isInConflict: conflict)
    }

    @Test func clientContacts() throws {
        let contacts = [
            Self.contact("bob", 382_364_223_419_711_489, .accepted, below: .accepted, category: "work"),
            Self.contact("carol", 382_364_223_419_711_490, .incoming, below: .incoming, decisions: [Self.decision("carol", .accept)]),
            Self.contact("dave", 382_364_223_419_711_491, .blockedByThem),
            Self.contact(
                "erin", 382_364_223_419_711_492, .accepted, below: .accepted,
                decisions: [Self.decision("erin", .block, conflict: true), Self.decision("erin", nil, category: "")]),
            Self.contact("frank", nil, .none, decisions: [Self.decision("frank", .request, category: "\u{202E}chess")]),
        ].map { ContactReport($0) }
        try check("client-contacts-list", ClientContactsListCommand.Report(contacts: contacts)) { $0.contacts(contacts) }
        try check("client-contacts-outcome", ContactOutcome(name: "erin", reached: "conflict", contact: contacts[3])) { _ in }
    }

    @Test func alerts() throws {
        func record(_ id: Int, _ kind: AlertKind, figure: Int? = nil, unit: AlertUnit? = nil, over: Bool = false, known: Bool = false) -> AlertRecord
        {
            AlertRecord(
                alert: id, kind: kind.rawValue, severity: kind.rule.severity, firstAt: Self.now, lastAt: Self.now, overAt: over ? Self.now : nil,
                acknowledgedAt: known ? Self.now : nil, count: 1234, figure: figure, unit: unit, text: kind.rule.about, advice: kind.rule.advice)
        }
        let alerts = [
            record(12, .diskNearlyFull, figure: 1, unit: .percent), record(11, .highSendRate, known: true),
            record(10, .undeliveredStore, figure: 5_000_000, unit: .messages, over: true),
            record(9, .hostTooLarge, figure: 14, unit: .days, over: true, known: true),
        ]
        try check("alert-list", AlertList.Reply(alerts: alerts)) { $0.alerts(alerts) }
        let show = AlertShow.Reply(alert: alerts[1], user: "alice", device: DeviceID(7))
        try check("alert-show", show) { $0.alert(show) }
        let over = AlertShow.Reply(alert: alerts[3], user: nil, device: nil)
        try check("alert-show-over", over) { $0.alert(over) }
        let kinds = AlertKinds.Reply(
            kinds: [
                AlertKindRecord(
                    kind: "one", severity: .info, raise: 1, clear: nil, unit: .events, seconds: 86_400, text: "it happened", advice: "look"),
                AlertKindRecord(
                    kind: "some", severity: .warning, raise: 10, clear: nil, unit: .events, seconds: 3600, text: "it goes on", advice: "look"),
                AlertKindRecord(
                    kind: "low", severity: .critical, raise: 2, clear: 4, unit: .percent, seconds: 30, text: "little is left", advice: "look"),
                AlertKindRecord(
                    kind: "slow", severity: .info, raise: 1000, clear: 250, unit: .milliseconds, seconds: 0, text: "it is slow", advice: "look"),
            ], target: nil, severity: .warning)
        try check("alert-kinds", kinds) { $0.alertKinds(kinds) }
    }

    @Test func presence() throws {
        let summary = PresenceSummary.Reply(
            usersOnline: CountClass(of: 9000), devicesOnline: CountClass(of: 1), devicesWatching: CountClass(of: 0), heartbeatSeconds: 5,
            offlineAfterSeconds: 30)
        try check("presence-summary", summary) { $0.presence(summary) }
    }

    @Test func retention() throws {
        let classes = [
            RetentionClassRecord(name: "", users: nil, policy: .standard),
            RetentionClassRecord(
                name: "board", users: 3, policy: RetentionPolicy(deliveredDays: 1, undeliveredDays: nil, userBytes: nil, onceDelivered: true)),
        ]
        try check("retention-show", RetentionShow.Reply(classes: classes)) { $0.retention(classes) }
        let plan = RetentionPlan.Reply(
            at: Self.now, chats: 2,
            rules: RetentionRule.allCases.enumerated().map { RetentionRuleRecord(rule: $1, messages: $0 * 1234, bytes: $0 * 567_890) })
        try check("retention-plan", plan) { $0.retention(plan) }
        var status = RetentionStatus.Reply(
            progress: nil, finished: nil, failure: nil, lastPurge: nil, oldestMessage: nil, fileBytes: 4096, freeBytes: 0, givesBack: false)
        try check("retention-never", status) { $0.retention(status) }
        status.progress = RetentionStatus.Progress(phase: .deleting, startedAt: Self.now, messages: 12_345, bytes: 6_789_012, fraction: 0.51)
        (status.lastPurge, status.oldestMessage, status.givesBack) = (Self.now, Self.now, true)
        try check("retention-status", status) { $0.retention(status) }
    }

    @Test func metrics() throws {
        func plain(_ name: String, _ type: String, _ group: String, _ samples: [([String: String], Double)]) -> MetricRecord {
            MetricRecord(
                name: name, type: type, group: group, help: "What it is",
                samples: samples.map { MetricSampleRecord(labels: $0.0, value: $0.1, histogram: nil) })
        }
        func histogram(_ name: String, _ value: MetricHistogramRecord) -> MetricRecord {
            MetricRecord(
                name: name, type: "histogram", group: "store", help: "What it is",
                samples: [MetricSampleRecord(labels: [:], value: nil, histogram: value)])
        }
        let times = MetricHistogramRecord(
            count: 12_345, sum: 61.7, p50: 0.000_15, p99: 0.034, p999: 2.5, bounds: [0.0002, 0.05, 5], counts: [12_000, 300, 45, 0])
        let none = MetricHistogramRecord(count: 0, sum: 0, p50: nil, p99: nil, p999: nil, bounds: [1, 2], counts: [0, 0, 0])
        let reply = MetricsShow.Reply(
            at: Self.now,
            metrics: [
                plain(
                    "relayd_sends_total", "counter", "messages",
                    [(["result": "accepted"], 1_234_567), (["result": "device_set"], 3), (["result": "failed"], 0)]),
                plain("relayd_purge_progress_ratio", "gauge", "store", [([:], 0.256)]),
                plain("relayd_store_bytes", "gauge", "store", [([:], 1_610_612_736)]),
                histogram("relayd_commit_seconds", times), histogram("relayd_commit_commands", none),
                plain("relayd_alerts_total", "counter", "process", [(["kind": "low_prekeys"], 0), (["kind": "blocked_sender"], 0)]),
                plain("relayd_cpu_seconds_total", "counter", "process", [([:], 7325.5)]),
                plain("relayd_start_time_seconds", "gauge", "process", [([:], 1_795_253_400.25)]),
                plain("relayd_build_info", "gauge", "process", [(["version": "0.1.0"], 1)]),
            ])
        try check("metrics-show", reply) { $0.metrics(reply) }
    }

    @Test func metricsHistory() throws {
        let values: [Double?] = (0..<100).map { $0 % 10 == 0 ? nil : Double($0 * $0) }
        let reply = MetricsHistory.Reply(
            times: (0..<100).map { Self.now + .seconds(60 * $0) },
            series: [
                MetricsHistory.Series(name: "sends", meaning: "messages accepted", unit: .perMinute, values: values),
                MetricsHistory.Series(name: "commit-p99", meaning: "commits", unit: .seconds, values: values.map { $0.map { $0 / 100_000 } }),
                MetricsHistory.Series(name: "memory", meaning: "resident memory", unit: .bytes, values: values.map { _ in 52_428_800 }),
                MetricsHistory.Series(name: "queue", meaning: "waiting", unit: .count, values: values.map { _ in 0 }),
                MetricsHistory.Series(name: "send-p99", meaning: "answers", unit: .seconds, values: values.map { _ in nil }),
            ])
        try check("metrics-history", reply) { $0.metricsHistory(reply, ascii: false) }
        try check("metrics-history-ascii", reply) { $0.metricsHistory(reply, ascii: true) }
        let empty = MetricsHistory.Reply(times: [], series: [])
        try check("metrics-history-empty", empty) { $0.metricsHistory(empty, ascii: false) }
    }

    @Test(arguments: [
        (0.0, "0 ms"), (0.000_05, "0.05 ms"), (0.009, "9.00 ms"), (0.034, "34 ms"), (0.9994, "999 ms"), (1.25, "1.3 s"), (119, "119.0 s"),
        (7200, "2 h"),
    ])
    func shortTimes(seconds: Double, text: String) { #expect(Figures.shortTime(seconds) == text) }

    @Test func sparklines() {
        #expect(Sparkline.of([], ascii: false) == "")
        #expect(Sparkline.of([0, 1, 2, 4, nil, 7], ascii: false) == "▁▂▃▅·█")
        #expect(Sparkline.of([0, 7], ascii: true) == "_#")
        #expect(Sparkline.of((0..<1440).map { Double($0) }, ascii: false).count == Sparkline.width)
        #expect(Sparkline.of((0..<1440).map { $0 == 700 ? 9 : 0 }, ascii: false).filter { $0 == "█" }.count == 1, "one minute of a day is seen")
    }

    @Test func people() throws {
        func release(_ day: Int, _ value: Int?, _ state: PeopleReleaseState = .released) -> PeopleReleaseRecord {
            PeopleReleaseRecord(from: "2026-11-\(day)", state: state, value: value, plusMinus: 11)
        }
        let series = [
            PeopleSeriesRecord(
                metric: .activeUsers, period: .day,
                releases: [release(16, 60), release(17, 1290), release(18, nil, .suppressed), release(19, 300), release(20, 1234)]),
            PeopleSeriesRecord(metric: .registrations, period: .day, releases: [release(19, 30), release(20, nil, .suppressed)]),
            PeopleSeriesRecord(metric: .blocksAndReports, period: .week, releases: [release(16, nil, .withheld)]),
            PeopleSeriesRecord(metric: .expiredUnread, period: .day, releases: []),
        ]
        try check("metrics-people", MetricsPeople.Reply(series: series)) { $0.people(series, ascii: false) }
        try check("metrics-people-none", MetricsPeople.Reply(series: Array(series.suffix(1)))) { $0.people(Array(series.suffix(1)), ascii: false) }
        let budget = MetricsBudget.Reply(
            metrics: [
                PeopleBudgetRecord(
                    metric: .activeUsers, period: .day, clamp: 1, epsilonThousandths: 300, releases: 1234, spentThousandths: 370_200),
                PeopleBudgetRecord(metric: .messagesAccepted, period: .day, clamp: 64, epsilonThousandths: 0, releases: 0, spentThousandths: 0),
                PeopleBudgetRecord(metric: nil, period: .week, clamp: 1, epsilonThousandths: 200, releases: 3, spentThousandths: 600),
            ], perDayThousandths: 300, perWeekThousandths: 2300, spentThousandths: 370_800)
        try check("metrics-budget", budget) { $0.budget(budget) }
    }

    @Test func benchPairs() throws { try check("bench-pairs", BenchSamples.pairs) { BenchSamples.pairs.show(on: &$0) } }
    @Test func benchFanOut() throws { try check("bench-fanout", BenchSamples.fanOut) { BenchSamples.fanOut.show(on: &$0) } }
    @Test func benchOffline() throws { try check("bench-offline", BenchSamples.offline) { BenchSamples.offline.show(on: &$0) } }
    @Test func benchIdle() throws { try check("bench-idle", BenchSamples.idle) { BenchSamples.idle.show(on: &$0) } }
    @Test func benchSeed() throws { try check("bench-seed", BenchSamples.seed) { BenchSamples.seed.show(on: &$0) } }
    @Test func benchSurge() throws { try check("bench-surge", BenchSamples.surge) { BenchSamples.surge.show(on: &$0) } }

    @Test func benchKeys() throws { try check("bench-keys", BenchSamples.keys) { BenchSamples.keys.show(on: &$0) } }

    @Test func streamsAreOneValueALine() throws {
        let output = Output(json: true, color: false, terminal: false, now: Self.now)
        #expect(try output.streamText(Self.audit.entries[0], line: "ignored").split(separator: "\n").count == 1)
        #expect(try Output(json: false, color: false, terminal: false).streamText(1, line: "one") == "one\n")
    }
}
