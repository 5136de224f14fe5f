import RelayModel

/// How the relay has this user and another one.
package struct RelayContact: Sendable, Equatable {
    package var user: UserID
    package var state: ContactState
    /// This user's own label; empty: none.
    package var category: String
    package var version: UInt64

    package init(user: UserID, state: ContactState, category: String, version: UInt64) {
        self.user = user
        self.state = state
        self.category = category
        self.version = version
    }
}

/// What the person decided about somebody on this device, and the relay has not answered yet or has answered with a conflict.
package struct ContactDecision: Sendable, Equatable {
    /// Names the decision on this device for ever.
    package var id: Int64
    /// The other user's name.
    package var name: String
    /// Nil: the label alone.
    package var action: ContactAction?
    /// Nil: the label as it is.
    package var category: String?
    /// What this device knew of the contact when it was decided; the relay takes the decision when this user decided nothing since. Nil while an earlier
    /// decision about the same contact waits, whose reply will say.
    package var basedOn: UInt64?
    /// Another device decided otherwise meanwhile: the person must say what holds.
    package var isInConflict: Bool
}

/// A contact as this device shows it.
package struct KnownContact: Sendable, Equatable {
    package var name: String
    /// Nil while only a decision names the user.
    package var user: UserID?
    /// How the relay has it, as far as this device was told.
    package var relayState: ContactState
    package var relayCategory: String
    package var version: UInt64
    /// What is below a block: the last state in which nobody blocked, as far as this device was told.
    package var below: ContactState
    /// In the order in which they were made. When the first is in conflict, all wait for the person.
    package var decisions: [ContactDecision]

    package var isInConflict: Bool { decisions.contains(where: \.isInConflict) }

    /// What the person sees: with what was decided here, and while that is in conflict as the relay has it.
    package var state: ContactState { isInConflict ? relayState : wanted }

    /// With what was decided here.
    package var wanted: ContactState {
        var (state, below) = (relayState, below)
        for decision in decisions {
            guard let action = decision.action else { continue }
            (state, below) = KnownContact.shown(state, below, after: action)
        }
        return state
    }

    package var category: String {
        guard !isInConflict, let decided = decisions.last(where: { $0.category != nil })?.category else { return relayCategory }
        return decided
    }

    /// A block of this user that holds on this device now: the relay's, one that waits, and, as long as a conflict is open, either of the two.
    package var blocks: Bool { wanted.blocks || (isInConflict && relayState.blocks) }
    /// A block of the other user, as far as this one is told.
    package var isBlocked: Bool { relayState == .blockedByThem || relayState == .blockedByBoth }

    /// What a person sees right after an action, before the relay has it. The relay may decide otherwise: it knows more.
    private static func shown(_ state: ContactState, _ below: ContactState, after action: ContactAction) -> (ContactState, ContactState) {
        switch (action, state) {
        case (.block, .blockedByThem), (.block, .blockedByBoth): (.blockedByBoth, below)
        case (.block, .blockedByMe): (state, below)
        case (.block, _): (.blockedByMe, state)
        case (.unblock, .blockedByBoth): (.blockedByThem, below)
        case (.unblock, .blockedByMe): (below, below)
        // A block stays, whatever is below it.
        case (.delete, _): state.isBlocked ? (state, .none) : (.none, .none)
        case (.request, .none): (.requested, .requested)
        case (.request, .incoming), (.request, .ignored), (.accept, .incoming), (.accept, .ignored): (.accepted, .accepted)
        case (.ignore, .incoming): (.ignored, .ignored)
        default: (state, below)
        }
    }
}

/// The person's final word about a conflict.
package enum ContactResolution: Sendable, Equatable {
    /// As the relay has it; what was decided here is dropped.
    case relay
    /// As it was decided here, on top of what the relay has now.
    case mine
}
