import CTimex
import Glibc
import RelayControl

/// Is the clock right? Messages carry the relay's time.
struct ClockCheck: HostCheck {
    let group = CheckGroup.host
    let name = "clock"

    func run(_ situation: CheckSituation, _ found: inout CheckFindings) async {
        var state = timex()
        // Without a mode nothing is set.
        let answer = adjtimex(&state)
        judge(
            KernelClock(
                isKnown: answer >= 0, isSynchronised: answer != TIME_ERROR && state.status & STA_UNSYNC == 0,
                maximumErrorSeconds: Double(state.maxerror) / 1e6), &found)
    }

    func judge(_ clock: KernelClock, _ found: inout CheckFindings) {
        guard clock.isKnown else { return found.skip("the kernel does not say whether its clock is right") }
        if !clock.isSynchronised {
            found.warn(
                "nothing keeps the clock right: the kernel calls it not synchronised",
                "timedatectl set-ntp true, or install chrony; in a container the host does it")
        } else if clock.maximumErrorSeconds > 1 {
            found.warn(
                "the clock may be \(Figures.shortTime(clock.maximumErrorSeconds)) wrong", "timedatectl timesync-status, or chronyc tracking, says why"
            )
        } else {
            found.good("kept right, at most \(Figures.shortTime(clock.maximumErrorSeconds)) wrong")
        }
    }
}

/// What adjtimex(2) tells.
struct KernelClock: Equatable {
    var isKnown: Bool
    var isSynchronised: Bool
    var maximumErrorSeconds: Double
}
