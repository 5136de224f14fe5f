import RelayControl
import RelayDirectory
import RelayModel
import RelayStorage

extension ControlError {
    /// What the directory refused, in an operator's words, with what to do next.
    ///
    /// - Parameter subject: the user's name or the identifier that the operation was about.
    init(_ failure: DirectoryError, subject: String) {
        switch failure {
        case .invalidName(let why): self.init(.badRequest, "“\(subject)” cannot be a user's name: \(why)")
        case .invalid(let why): self.init(.badRequest, why)
        case .rejected(let rejection): self.init(rejection, subject: subject)
        case .overloaded: self.init(.tryAgain, "more changes wait for the disk than the relay holds", hint: "try again in a moment")
        case .stopping: self.init(.tryAgain, "relayd is stopping", hint: "systemctl status relayd says whether it comes back")
        case .storeFailed:
            self.init(.failed, "the store cannot be read or written", hint: "journalctl -u relayd says why; df -h, whether its disk is full")
        case .contactConflict:
            self.init(.tryAgain, "\(subject) changed meanwhile", hint: "chatctl contact list shows how it is now")
        case .unauthorized, .tokenExpired, .deviceRevoked, .userSuspended, .signatureInvalid, .challengeExpired, .link:
            self.init(.failed, "the directory answered an operator as if it were a device", hint: "please report this with relayd's version")
        }
    }

    private init(_ rejection: Rejection, subject: String) {
        switch rejection {
        case .userNameTaken: self.init(.alreadyExists, "there is a user \(subject) already", hint: "chatctl user show \(subject)")
        case .userUnknown: self.init(.notFound, "there is no user \(subject)", hint: "chatctl user list")
        case .userLimitReached: self.init(.limitReached, "the relay is full: it holds \(Limits.users) users", hint: "chatctl user remove NAME")
        case .deviceUnknown: self.init(.notFound, "there is no device \(subject)", hint: "chatctl device list")
        case .deviceLimitReached(let limit):
            self.init(.limitReached, "\(subject) has \(limit) devices, which is the limit", hint: "chatctl device list --user \(subject)")
        case .inviteUnknown: self.init(.notFound, "there is no invite \(subject)", hint: "chatctl invite list")
        case .inviteUsed: self.init(.notFound, "invite \(subject) was used already", hint: "chatctl device list shows the device that it made")
        case .inviteExpired: self.init(.notFound, "invite \(subject) has expired already", hint: "chatctl invite list")
        case .inviteRevoked: self.init(.notFound, "invite \(subject) was revoked already", hint: "chatctl invite list")
        case .inviteLimitReached(let limit):
            self.init(
                .limitReached, "\(subject) has \(limit) open invites, which is the limit",
                hint: "chatctl invite list --user \(subject), then chatctl invite revoke NUMBER")
        case .planOutdated:
            self.init(
                .tryAgain, "\(subject) is not as it was when the plan was made, or the plan was made for another time of grace",
                hint: "look at it again: chatctl user erase plan \(subject)")
        case .erasurePending(let until):
            self.init(
                .notPermitted, "\(subject) is to be erased at \(until)", hint: "chatctl user erase cancel \(subject) brings the user back first")
        case .erasureUnknown: self.init(.notFound, "\(subject) is not to be erased", hint: "chatctl user erase status")
        case .keysUnknown:
            self.init(.notFound, "device \(subject) has no such keys on the relay", hint: "chatctl key show \(subject) lists those that it has")
        case .contactWithSelf: self.init(.badRequest, "a contact of \(subject) is another user")
        case .contactLimitReached(let limit):
            self.init(.limitReached, "\(subject) has \(limit) contacts, which is the limit", hint: "chatctl contact list --user \(subject)")
        case .contactRequestsFull:
            self.init(.limitReached, "\(subject) has too many requests that are not answered", hint: "chatctl contact list --user \(subject)")
        case .contact(let refusal):
            switch refusal {
            case .youBlock, .theyBlock:
                self.init(
                    .notPermitted, "one of the two blocks the other", hint: "chatctl block list --user \(subject) shows who; a block is the user's")
            case .noRequest, .alreadyAccepted:
                self.init(.notFound, "there is no request to answer", hint: "chatctl contact list --user \(subject)")
            }
        case .notContact, .notContacts, .memberBlocked, .chatUnknown, .chatWithSelf, .recipientGone, .deviceSetMismatch, .clientMessageIDUsed,
            .positionUnknown, .notAGroup, .notPermitted,
            .notDeletable,
            .groupFull, .memberUnknown, .alreadyMember, .chatLimitReached, .changeInvalid, .userSuspended, .prekeyIDUsed, .prekeyLimitReached,
            .keyChangesTooOften:
            self.init(.failed, "the store answered an operator as if it were a device", hint: "please report this with relayd's version")
        }
    }
}
