import Glibc
import RelayControl
import RelayHTTP
import RelayModel
import RelayTLS

/// Will clients accept the certificate, and for how long? Is it the one that relayd shows?
struct CertificateCheck: HostCheck {
    let group = CheckGroup.configuration
    let name = "certificate"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        guard let certificate = situation.text("tls.certificate"), let key = situation.text("tls.key") else {
            return found.skip("the configuration is not known")
        }
        guard !certificate.isEmpty, !key.isEmpty else { return found.skip("relayd speaks no TLS itself") }
        // Keys are for relayd and root.
        guard situation.isTrusted else { return found.skip("\(certificate) and its key can be judged by root only") }
        let credentials = Self.credentials(situation)
        if situation.status == nil, !certificate.hasPrefix("/") || !key.hasPrefix("/"), FileFacts(credentials) == nil {
            return found.skip("\(certificate) and its key are credentials, which are there only while relayd runs")
        }
        do throws(TLSIdentityError) {
            let identity = try TLSIdentitySource(certificate: certificate, key: key).load(credentials: credentials)
            judge(identity, certificate, at: situation.now, &found)
            judgeTrust(try identity.problem(), certificate, &found)
            judgeName(identity, situation, &found)
            judgeShown(identity, situation, &found)
            if found.isClean { found.good("\(certificate), good for \(Figures.number(identity.daysLeft(at: situation.now), "more day"))") }
        } catch {
            found.fail("\(error)", "put a usable certificate and its key there, then: systemctl reload relayd")
        }
    }

    func judge(_ identity: TLSIdentity, _ path: String, at now: Timestamp, _ found: inout CheckFindings) {
        let days = identity.daysLeft(at: now)
        if days < 0 {
            found.fail("the certificate in \(path) has expired: no client connects", "renew it, then: systemctl reload relayd")
        } else if identity.notBefore > now {
            found.fail("the certificate in \(path) is not valid yet: no client connects", "look at this host's clock: timedatectl")
        } else if days <= Self.fewDays {
            found.warn(
                "the certificate in \(path) ends in \(Figures.number(days, "day"))",
                "renew it (certbot and others do it by themselves: look why not), then: systemctl reload relayd")
        }
    }

    func judgeTrust(_ problem: TLSFailure.CertificateProblem?, _ path: String, _ found: inout CheckFindings) {
        switch problem {
        // These have been said.
        case nil, .expired, .notYetValid: break
        case .untrusted:
            found.warn(
                "nobody whom this host trusts has signed the certificate in \(path)",
                "of an authority of your own: give clients its certificate (--ca-file). Otherwise put those that signed it into \(path), behind its own"
            )
        case .wrongName, .other:
            let words = problem.map { TLSFailure.certificate($0).description } ?? ""
            found.warn("clients may refuse the certificate in \(path): \(words)", "get another one")
        }
    }

    func judgeName(_ identity: TLSIdentity, _ situation: CheckSituation, _ found: inout CheckFindings) {
        guard let url = situation.text("listen.public_url"), let host = try? Endpoint(url: url).host, !identity.isFor(host) else { return }
        found.fail(
            "the certificate is not for \(host), the host of listen.public_url: no client connects there", "get one for \(host), or change the URL")
    }

    private func judgeShown(_ identity: TLSIdentity, _ situation: CheckSituation, _ found: inout CheckFindings) {
        // Behind a proxy connections begin with its header, which is not for us to write.
        guard let status = situation.status, situation.text("listen.trusted_proxies")?.isEmpty != false else { return }
        guard let address = status.listening.lazy.compactMap(SocketAddressText.init).first else { return }
        if address.connected({ identity.isShown(by: $0) }) == false {
            found.warn(
                "relayd shows another certificate than the one in its file", "systemctl reload relayd; the log says why if that changes nothing")
        }
    }

    /// Fewer days than these are worth a warning: where the alert begins.
    static var fewDays: Int {
        if case .reading(let raise, _, _, _) = AlertKind.certificateExpiring.rule.trigger { raise } else { 0 }
    }

    /// Where the service manager put the unit's credentials: of the running relay its own directory, which only root and it can enter.
    private static func credentials(_ situation: CheckSituation) -> String { situation.root + "/run/credentials/relayd.service" }
}
