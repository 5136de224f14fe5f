import Foundation
import Logging
import RelayControl
import RelayGateway
import RelayHTTP
import RelayModel
import RelayTelemetry
import RelayTestSupport
import Testing

@testable import relayd

@Suite struct ConfigurationTests {
    private func parse(_ text: String) throws(ConfigurationProblems) -> Configuration {
        try ConfigurationFile.parse(text, path: "relayd.toml").configuration
    }

    private func problems(_ text: String) -> [String] {
        do throws(ConfigurationProblems) {
            _ = try parse(text)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test func theSampleIsTheTable() throws {
        let file = try String(contentsOfFile: Programs.repository + "/packaging/relayd.toml", encoding: .utf8)
        #expect(file == ConfigurationText.sample, "regenerate it: relayd --sample-config > packaging/relayd.toml")
    }

    @Test func theSampleWithoutItsCommentSignsIsTheDefault() throws {
        let text = ConfigurationText.sample.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? $0.dropFirst() : $0 }.joined(separator: "\n")
        let file = try ConfigurationFile.parse(text, path: "relayd.toml")
        #expect(file.configuration == Configuration())
        #expect(file.lines.count == ConfigurationOption.all.count)
    }

    @Test func metricsAreForThisHostOnly() throws {
        #expect(try parse("[metrics]\nlisten = \"\"").metricsAddress == nil)
        #expect(try parse("[metrics]\nlisten = \"localhost:9464\"").metricsAddress?.isLoopback == true)
        for address in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "9464", "127.0.0.1"] {
            #expect(
                problems("[metrics]\nlisten = \"\(address)\"") == [
                    "relayd.toml:2:10: metrics.listen must be a loopback address with a port, such as \"127.0.0.1:9464\", or \"\", not \"\(address)\""
                ])
        }
    }

    @Test func namesAreUnique() { #expect(Set(ConfigurationOption.all.map(\.name)).count == ConfigurationOption.all.count) }

    @Test func everyKeyCanBeSet() throws {
        let configuration = try parse(
            """
            [listen]
            address = "[::1]:9000"
            public_url = "https://chat.example.org"
            allow_plaintext = true
            [control]
            socket = "/tmp/c.sock"
            admin_group = "wheel"
            view_group = "users"
            [store]
            path = "/tmp/r.db"
            readers = 4
            [erase]
            grace = "36h"
            [metrics]
            listen = "[::1]:9464"
            [limits]
            message_bytes = 131072
            devices_per_user = 1
            invite_hours = 2
            token_minutes = 5
            messages_per_device = 1
            messages_per_user = 2
            messages_per_address = 3
            requests_per_address = 4
            connections_per_address = 5
            signins_per_address = 6
            pending_per_address = 7
            handshakes_per_second = 0
            limit_loopback = true
            anomaly_messages = 9
            anomaly_seconds = 10
            over_threshold = "suspend"
            [log]
            level = "debug"
            destination = "stderr"
            [alerts]
            webhook = "http://[::1]:9/hook"
            severity = "info"
            disk_free_percent = 20
            undelivered_messages = 5
            errors_per_minute = 7
            """)
        var alerts = AlertSettings()
        alerts.target = .webhook(.tcp(host: "::1", port: 9), path: "/hook")
        alerts.severity = .info
        alerts.diskFreePercent = 20
        alerts.undeliveredMessages = 5
        alerts.errorsPerMinute = 7
        #expect(configuration.alerts == alerts)
        #expect(configuration.listenAddress == ListenAddress(host: "::1", port: 9000))
        #expect(configuration.effectivePublicURL == "https://chat.example.org")
        #expect(configuration.allowPlaintext)
        #expect(configuration.controlSocket == "/tmp/c.sock")
        #expect(configuration.adminGroup == "wheel")
        #expect(configuration.viewGroup == "users")
        #expect(configuration.storePath == "/tmp/r.db")
        #expect(configuration.storeReaders == 4)
        #expect(configuration.erasureGrace.duration == .seconds(36 * 3600) && configuration.erasureGrace.description == "36h")
        #expect(configuration.metricsAddress == ListenAddress(host: "::1", port: 9464))
        #expect(configuration.messageBytes == 131_072)
        #expect(configuration.devicesPerUser == 1)
        #expect(configuration.inviteHours == 2)
        #expect(configuration.tokenMinutes == 5)
        var rates = RateLimits()
        rates.messagesPerDevice = 1
        rates.messagesPerUser = 2
        rates.messagesPerAddress = 3
        rates.requestsPerAddress = 4
        rates.connectionsPerAddress = 5
        rates.signInsPerAddress = 6
        rates.pendingPerAddress = 7
        rates.handshakesPerSecond = 0
        rates.limitLoopback = true
        rates.anomalyMessages = 9
        rates.anomalyWindow = .seconds(10)
        rates.overThreshold = .suspend
        #expect(configuration.rates == rates)
        #expect(configuration.logLevel == .debug)
        #expect(configuration.logDestination == .stderr)
    }

    @Test(
        "What is wrong is named with its line and what is allowed",
        arguments: [
            ("[alerts]\ncommand = \"notify.sh\"\n", "relayd.toml:2:11: alerts.command must be an absolute path"),
            ("[alerts]\nwebhook = \"ws://example.org\"\n", "relayd.toml:2:11: alerts.webhook must be https://host:port/path"),
            ("[tls]\ncertificate = \"/x\"\n", "relayd.toml:2:15: tls.certificate is named, and tls.key is not"),
            ("[tls]\nkey = \"x\"\n", "relayd.toml:2:7: tls.key is named, and tls.certificate is not"),
            ("[tls]\nkey = \"../x\"\n", "relayd.toml:2:7: tls.key must be an absolute path, the name of a credential"),
            (
                "[listen]\npublic_url = \"http://x\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\n",
                "relayd.toml:2:14: listen.public_url begins with http://"
            ),
            ("[listen]\naddress = \"unix:/x\"\n", "relayd.toml:2:11: a Unix socket is no address for clients"),
            ("[listen]\naddress = \"unix:x\"\n", "relayd.toml:2:11: listen.address must be"),
            ("[listen]\ntrusted_proxies = \"10.0.0.0/33\"\n", "relayd.toml:2:19: listen.trusted_proxies must be addresses"),
            ("[listen]\ntrusted_proxies = \"proxy.example.org\"\n", "relayd.toml:2:19: listen.trusted_proxies must be addresses"),
            ("[metrics]\nlisten = \"unix:/x\"\n", "relayd.toml:2:10: metrics.listen must be"),
            ("[listen]\nadress = \"127.0.0.1:1\"\n", "relayd.toml:2:1: there is no key listen.adress; did you mean listen.address?"),
            ("[lisen]\naddress = \"127.0.0.1:1\"\n", "relayd.toml:1:1: there is no section [lisen]; did you mean [listen]?"),
            (
                "[database]\n",
                "relayd.toml:1:1: there is no section [database]: the sections are [alerts], [backup], [contacts], [control], [erase], [limits], [listen], [log], [metrics], [people], [presence], [retention], [store], [tls]"
            ),
            ("[presence]\nheartbeat = 20\n", "relayd.toml:2:13: presence.offline_after is 30, which is less than two heartbeats of 20 seconds"),
            ("\n\nreaders = 3\n", "relayd.toml:3:1: there is no key readers; did you mean store.readers?"),
            ("[store]\n# many\nreaders = 17\n", "relayd.toml:3:11: store.readers must be a whole number from 1 to 16, not 17"),
            ("[store]\nreaders = \"2\"\n", "relayd.toml:2:11: store.readers must be a whole number from 1 to 16, not \"2\""),
            ("[store]\nreaders = 2.5\n", "relayd.toml:2:11: store.readers must be a whole number from 1 to 16, not a number with a fraction"),
            ("[store]\nreaders = [2]\n", "relayd.toml:2:11: store.readers must be a whole number from 1 to 16, not a list"),
            ("[store]\nreaders = 1979-05-27\n", "relayd.toml:2:11: store.readers must be a whole number from 1 to 16, not a date or time"),
            ("store.path = \"relay.db\"\n", "relayd.toml:1:14: store.path must be an absolute path of at most 4000 bytes, not \"relay.db\""),
            ("listen = 3\n", "relayd.toml:1:1: listen must be a section, written [listen]"),
            ("[log]\nlevel = true\n", "must be one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\", \"critical\", not true"),
            ("[listen]\naddress = \"example.org:80\"\n", "listen.address must be an IP address or localhost with a port"),
            ("[listen]\naddress = \"127.0.0.1:0\"\n", "listen.address must be an IP address or localhost with a port"),
            ("[listen]\npublic_url = \"ftp://x\"\n", "listen.public_url must be an http:// or https:// address without a path"),
            ("[listen]\npublic_url = \"https://x/y\"\n", "listen.public_url must be an http:// or https:// address without a path"),
            (
                "[erase]\ngrace = \"0d\"\n",
                "relayd.toml:2:9: erase.grace must be a number followed by s, m, h or d, at most 365d, such as \"7d\", not \"0d\""
            ),
            ("[erase]\ngrace = \"366d\"\n", "erase.grace must be"), ("[erase]\ngrace = 7\n", "erase.grace must be"),
            ("[erase]\ngrace = \"a week\"\n", "erase.grace must be"),
            ("[listen]\naddress = \n", "relayd.toml:2:11: it is not TOML"),
            ("\n[.]\n", "relayd.toml:2: it is not TOML: a section's name must begin"), ("[[", "relayd.toml:1: it is not TOML"),
            ("[[\n#", "relayd.toml:1: it is not TOML"), ("[\r\n=", "relayd.toml:1: it is not TOML"), ("\u{FEFF}[=", "relayd.toml:1: it is not TOML"),
            ("[listen]\r\nadress = \"127.0.0.1:1\"\r\n", "relayd.toml:2:1: there is no key listen.adress"),
            ("  [listen]\n\tadress = 3\n", "relayd.toml:2:2: there is no key listen.adress"),
            ("store = {readers = 17}\n", "relayd.toml:1:9: store.readers must be"),
            ("[store]\nreaders = 2\n\nreaders = 3\n", "relayd.toml:4:1: store.readers is set a second time: it stands in line 2 already"),
            ("[store]\nreaders = 2\n[log]\n[store]\n", "relayd.toml:4:1: store is set a second time: it stands in line 1 already"),
            ("[erase]\ngrace = \"7 days\"\n", "relayd.toml:2:9: erase.grace must be a number followed by s, m, h or d"),
            ("[erase]\ngrace = \"99999999999d\"\n", "erase.grace must be"), ("[erase]\ngrace = \"-1d\"\n", "erase.grace must be"),
            ("[store]\nreaders = 99999999999999999999\n", "relayd.toml:2:"),
            ("[listen]\nreaders = 2\n", "relayd.toml:2:1: there is no key listen.readers; did you mean store.readers?"),
            ("[store]\npath = \"/\u{1}\"\n", "relayd.toml:2:"),
            ("[store]\npath = \"/\\u0000\"\n", "relayd.toml:2: a text cannot have a NUL in it"),
            ("[listen]\naddress = \"0.0.0.0:8480\"\n", "relayd.toml:2:11: other hosts can connect to 0.0.0.0:8480"),
        ])
    func wrong(text: String, complaint: String) {
        let found = problems(text)
        #expect(found.count == 1)
        #expect(found.first?.contains(complaint) == true, "\(found)")
    }

    @Test func allProblemsAreReportedInTheOrderOfTheirLines() {
        let found = problems("[store]\nreaders = 0\n[log]\nlevel = \"loud\"\n[limits]\ninvite_hours = -1\nfoo = 1\n")
        #expect(found.map { $0.prefix(17) } == ["relayd.toml:2:11:", "relayd.toml:4:9: ", "relayd.toml:6:16:", "relayd.toml:7:1: "])
    }

    @Test func otherHostsNeedAnExplicitWord() throws {
        #expect(try parse("[listen]\naddress = \"0.0.0.0:8480\"\nallow_plaintext = true\n").listenAddress.host == "0.0.0.0")
        for loopback in ["127.0.0.1", "127.8.0.1", "[::1]", "localhost"] { #expect(ListenAddress("\(loopback):80")?.isLoopback == true) }
        for open in ["0.0.0.0", "10.0.0.1", "[::]", "[fe80::1]"] { #expect(ListenAddress("\(open):80")?.isLoopback == false) }
        for wrong in ["", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[127.0.0.1]:80", "127.1:80"] {
            #expect(ListenAddress(wrong) == nil, "\(wrong)")
        }
    }

    @Test func theDefaultURLIsTheAddress() throws {
        #expect(try parse("[listen]\naddress = \"[::1]:9000\"\n").effectivePublicURL == "http://[::1]:9000")
        #expect(try parse("[listen]\naddress = \"[::1]:9000\"\n").publicHost == "[::1]:9000")
        #expect(try parse("[listen]\npublic_url = \"https://chat.example.org\"\n").publicHost == "chat.example.org")
    }

    /// chatctl asks for it, and looks at the file from another folder.
    @Test func thePathOfTheFileIsSaidWithItsFolder() throws {
        let here = FileManager.default.currentDirectoryPath
        let file = try ConfigurationFile.parse("", path: "relayd.toml")
        #expect(ConfigurationInForce(path: "relayd.toml", named: true, file: file).inForce().path == here + "/relayd.toml")
        #expect(ConfigurationInForce(path: "/etc/relayd.toml", named: true, file: file).inForce().path == "/etc/relayd.toml")
    }

    @Test func aMissingFileMeansDefaultsUnlessItWasNamed() throws {
        #expect(try ConfigurationFile.load(path: "/nonexistent/relayd.toml", named: false).configuration == Configuration())
        #expect(throws: ConfigurationProblems.self) { try ConfigurationFile.load(path: "/nonexistent/relayd.toml", named: true) }
    }

    @Test func aFileThatIsNotTextIsRefused() throws {
        let directory = try TemporaryDirectory()
        func problem(_ bytes: [UInt8]) throws -> String? {
            try Data(bytes).write(to: URL(filePath: directory.file("x")))
            do throws(ConfigurationProblems) {
                _ = try ConfigurationFile.load(path: directory.file("x"), named: true)
                return nil
            } catch {
                #expect(error.problems.count == 1)
                return error.problems.first.map { String($0.description.dropFirst(directory.file("x").count)) }
            }
        }
        #expect(try problem([0x61, 0xff]) == ":1:2: it is not UTF-8 text")
        #expect(try problem(Array("[log]\n# ü".utf8) + [0xC3, 0x0A]) == ":2:4: it is not UTF-8 text")
        #expect(try problem([0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0])?.hasPrefix(":1:1: it is not TOML") == true)
        #expect(try problem([0xFF, 0xFE, 0x5B, 0, 0x6C, 0]) == ": it is UTF-16: save it as UTF-8")
        #expect(try problem([UInt8](repeating: 0x23, count: (1 << 20) + 1)) == ": it is larger than 1048576 bytes")
        #expect(try problem(Array("[erase".utf8) + [0] + Array("]\n".utf8))?.hasPrefix(":1:") == true)
        // A byte order mark is none of the text.
        #expect(try problem(Array("\u{FEFF}[log]\nlevel = \"info\"\n".utf8)) == nil)
        #expect(try problem(Array("\u{FEFF}[lok]\n".utf8)) == ":1:1: there is no section [lok]; did you mean [log]?")
    }

    @Test func whatAMessageQuotesIsBoundedAndHarmless() throws {
        let long = problems("[store]\npath = \"\(String(repeating: "x", count: 100_000))\"\n\(String(repeating: "k", count: 100_000)) = 1\n")
        #expect(long.count == 2 && long.allSatisfy { $0.utf8.count < 600 })
        let escape = problems("[log]\nlevel = \"\\u001B[2J\"\n\"\\u001B[2J\" = 1\n")
        #expect(escape.count == 2 && escape.allSatisfy { !$0.contains("\u{1B}") })
    }

    @Test func everyKeyIsDescribed() {
        for option in ConfigurationOption.all {
            #expect(!option.documentation.joined().isEmpty && !option.allowed.isEmpty, "\(option.name)")
            #expect((option.unit != nil) == (option.standard.type == .integer), "\(option.name) has no unit")
            var configuration = Configuration()
            #expect(option.write(&configuration, option.standard) && configuration == Configuration(), "\(option.name)")
        }
        let sections = Set(ConfigurationOption.all.map(\.section))
        for section in ConfigurationOption.sectionTexts.keys { #expect(sections.contains(section), "\(section)") }
    }

    @Test func theManualIsTheTable() throws {
        let page = try String(contentsOfFile: Programs.repository + "/man/relayd.toml.5", encoding: .utf8)
        let begin = try #require(page.range(of: ".Sh OPTIONS\n")).lowerBound
        let end = try #require(page.range(of: "\n.Sh ", range: page.index(after: begin)..<page.endIndex)).lowerBound
        #expect(page[begin...end] == ConfigurationManual.options, "put there what relayd --manual-options prints")
    }

    @Test func secretsAreMasked() throws {
        let file = try ConfigurationFile.parse("[alerts]\nwebhook = \"http://127.0.0.1:9/hook?key=1\"\n", path: "x")
        #expect(!ConfigurationText.listing(file, path: "x").contains("key=1"))
        let records = ConfigurationText.records(file.configuration, lines: file.lines, path: "x").options
        let record = try #require(records.first { $0.name == "alerts.webhook" })
        #expect(record.value == nil && record.secret && record.line == 2 && record.standard == .text(""))
        // That it is not set is no secret.
        #expect(ConfigurationText.records(Configuration(), lines: [:], path: nil).options.first { $0.name == "alerts.webhook" }?.value == .text(""))
        #expect(problems("[alerts]\nwebhook = \"ftp://key\"\n").allSatisfy { !$0.contains("key") })
    }

    @Test func theTargetOfAlertsCanBeTakenAway() throws {
        var configuration = try parse("[alerts]\ncommand = \"/bin/true\"\nwebhook = \"http://127.0.0.1:9/\"\n")
        #expect(configuration.alerts.target == .webhook(.tcp(host: "127.0.0.1", port: 9), path: "/"))
        for (key, target) in [("alerts.webhook", NoticeTarget.command("/bin/true")), ("alerts.command", nil)] {
            let option = try #require(ConfigurationOption.all.first { $0.name == key })
            #expect(option.reloadable && option.write(&configuration, .text("")) && configuration.alerts.target == target)
        }
        #expect(configuration == Configuration())
    }

    /// These made the TOML parser abort.
    @Test(arguments: ["a = [}", "a = [1,}", "a = [ # x\n }", "a = ['}', }", "a = {b = [}}", "a = ['''\n''', }"])
    func aBraceInsteadOfAValueIsAnError(text: String) { #expect(problems(text).count == 1) }

    @Test(arguments: ["x = ',}'", "x = \"[}\"", "# [}", "x = '''[}'''", "x = \"\\\"[}\"", "x = [{}]", "x = {a = [1]}"])
    func otherBracesAreNotTheProblem(text: String) { #expect(!problems(text).contains { $0.contains("before “}”") }) }

    @Test func noTextCrashesTheParser() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed: seed)
        let words = [
            "[listen]", "[store", "]", "address", "=", "\"", "\n", "readers", ".", "3", "'''", "{", "}", "#", "\u{0}", "ä", "true", "[[", "1e9",
            "\r\n", " ", "\t", "\u{FEFF}", "-", "0x", "[", "1979-05-27", "\"\"\"", "\\u00",
        ]
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 0...12, using: &random)).map { _ in words[Int.random(in: 0..<words.count, using: &random)] }.joined()
            for problem in problems(text) { #expect(problem.hasPrefix("relayd.toml"), "seed \(seed)") }
        }
    }

    @Test func theListingNamesWhereEachValueComesFrom() throws {
        let file = try ConfigurationFile.parse("[store]\nreaders = 3\n", path: "/etc/x.toml")
        let lines = ConfigurationText.listing(file, path: "/etc/x.toml").split(separator: "\n")
        #expect(lines.count == ConfigurationOption.all.count)
        #expect(lines.contains { $0.hasPrefix("store.readers = 3 ") && $0.hasSuffix("# /etc/x.toml:2") })
        #expect(lines.contains { $0.hasPrefix("log.level = \"info\" ") && $0.hasSuffix("# default") })
    }

    @Test func aReloadAppliesOnlyWhatItCan() throws {
        let new = try parse("[limits]\nmessages_per_user = 3\nanomaly_seconds = 7\n[log]\nlevel = \"debug\"\n[store]\nreaders = 3\n")
        let changes = ConfigurationInForce.changes(from: Configuration(), to: new)
        #expect(changes.applied.map(\.name) == ["limits.messages_per_user", "limits.anomaly_seconds", "log.level"])
        #expect(changes.deferred.map(\.name) == ["store.readers"])
    }

    @Test func editDistance() {
        #expect(EditDistance.between("", "abc") == 3)
        #expect(EditDistance.between("adress", "address") == 1)
        #expect(EditDistance.between("kitten", "sitting") == 3)
        #expect(EditDistance.between("same", "same") == 0)
    }
}
