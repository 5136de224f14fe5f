/// How a user stands to another one, as they are told it. REST calls the two a connection. The numbers are those of the wire.
package enum ContactState: UInt8, Codable, Sendable, CaseIterable {
    case none = 0
    /// Asked, and not answered yet, as far as the user is told.
    case requested = 1
    /// The other one asks.
    case incoming = 2
    case accepted = 3
    /// The other one asked, and is not answered.
    case ignored = 4
    case blockedByMe = 5
    case blockedByThem = 6
    case blockedByBoth = 7

    package var isBlocked: Bool { rawValue >= ContactState.blockedByMe.rawValue }
    /// This user may lift a block.
    package var blocks: Bool { self == .blockedByMe || self == .blockedByBoth }
}

/// What a user can do about another one. The numbers are those of the store's record of commands.
package enum ContactAction: UInt8, Codable, Sendable, CaseIterable {
    case request = 1
    case accept = 2
    case ignore = 3
    case block = 4
    case unblock = 5
    /// Nobody is anybody's contact any more. A block stays: lifting it is another decision.
    case delete = 6
    /// An operator makes the two contacts of each other, as if both had accepted.
    case introduce = 7
}

/// Why an action does not fit how the two stand to each other.
package enum ContactRefusal: Error, Codable, Sendable, Equatable {
    /// There is no request to answer.
    case noRequest
    /// They are contacts already: delete or block.
    case alreadyAccepted
    /// Unblock first.
    case youBlock
    /// The other one blocks, and the relay's policy is to say so.
    case theyBlock
}

/// How two users stand to each other, from one side; the other side is its mirror. A pure state machine: what the relay keeps of the two.
///
/// A block is an overlay: it stops everything and changes nothing below, so that who lifts it finds what was there before.
///
/// | below               | request | accept | ignore | delete | this side sees | the other sees |
/// |---------------------|---------|--------|--------|--------|----------------|----------------|
/// | none                | asked   | –      | –      | none   | none           | none           |
/// | asked               | asked   | –      | –      | none   | requested      | incoming       |
/// | is asked            | contact | contact| ignores| none   | incoming       | requested      |
/// | ignores             | contact | contact| ignores| none   | ignored        | requested      |
/// | is ignored          | is ignored | –   | –      | none   | requested      | ignored        |
/// | contact             | contact | contact| –      | none   | accepted       | accepted       |
///
/// –: refused, nothing changes. An introduction makes any of them contact, unless one blocks the other. Who blocks sees `blockedByMe`; who is
/// blocked sees `blockedByThem`, or what somebody sees who gets no answer where the policy is not to tell.
package struct ContactEdge: Codable, Sendable, Hashable {
    package enum Relation: UInt8, Codable, Sendable, CaseIterable {
        case none = 0
        case asked = 1
        case isAsked = 2
        case ignores = 3
        case isIgnored = 4
        case contact = 5

        var mirrored: Relation {
            switch self {
            case .none, .contact: self
            case .asked: .isAsked
            case .isAsked: .asked
            case .ignores: .isIgnored
            case .isIgnored: .ignores
            }
        }
    }

    package var relation: Relation
    package var blocks: Bool
    package var isBlocked: Bool

    package init(relation: Relation = .none, blocks: Bool = false, isBlocked: Bool = false) {
        self.relation = relation
        self.blocks = blocks
        self.isBlocked = isBlocked
    }

    /// The same from the other side.
    package var mirrored: ContactEdge { ContactEdge(relation: relation.mirrored, blocks: isBlocked, isBlocked: blocks) }

    /// Neither side blocks the other.
    package var isFree: Bool { !blocks && !isBlocked }

    /// Messages pass between the two.
    /// - Parameter everyone: the policy of a relay where everybody is everybody's contact until they block.
    package func passes(everyone: Bool) -> Bool { isFree && (everyone || relation == .contact) }

    /// What this side is told.
    /// - Parameter tellsBlocked: the policy: whether a user is told that they are blocked.
    package func view(tellsBlocked: Bool) -> ContactState {
        switch (blocks, isBlocked) {
        case (true, true): return tellsBlocked ? .blockedByBoth : .blockedByMe
        case (true, false): return .blockedByMe
        case (false, true):
            if tellsBlocked { return .blockedByThem }
            // As if there were no answer.
            return [.asked, .isIgnored, .contact].contains(relation) ? .requested : .none
        case (false, false): break
        }
        switch relation {
        case .none: return .none
        case .asked, .isIgnored: return .requested
        case .isAsked: return .incoming
        case .ignores: return .ignored
        case .contact: return .accepted
        }
    }

    /// What this side does.
    package func after(_ action: ContactAction, tellsBlocked: Bool) throws(ContactRefusal) -> ContactEdge {
        var edge = self
        switch action {
        case .request:
            if blocks { throw .youBlock }
            if isBlocked, tellsBlocked { throw .theyBlock }
            switch relation {
            case .none: edge.relation = .asked
            case .isAsked, .ignores: edge.relation = .contact
            case .asked, .isIgnored, .contact: break
            }
        case .accept:
            if blocks { throw .youBlock }
            switch relation {
            case .isAsked, .ignores: edge.relation = .contact
            case .contact: break
            case .none, .asked, .isIgnored: throw .noRequest
            }
        case .ignore:
            if blocks { throw .youBlock }
            switch relation {
            case .isAsked: edge.relation = .ignores
            case .ignores: break
            case .contact: throw .alreadyAccepted
            case .none, .asked, .isIgnored: throw .noRequest
            }
        case .block: edge.blocks = true
        case .unblock: edge.blocks = false
        case .delete: edge.relation = .none
        case .introduce:
            // An operator is told, whatever the policy is.
            if blocks { throw .youBlock }
            if isBlocked { throw .theyBlock }
            edge.relation = .contact
        }
        return edge
    }
}

/// What the operator decided about contacts.
package struct ContactPolicy: Codable, Sendable, Equatable {
    /// Everybody is everybody's contact without asking, until they block: a family's or a company's relay.
    package var everyone: Bool
    /// A user is told that another one blocks them.
    package var tellsBlocked: Bool
    /// Who blocks somebody leaves the groups that both are in. Otherwise both stay, and clients hide what the other one writes.
    package var leavesGroups: Bool
    package init(everyone: Bool = false, tellsBlocked: Bool = true, leavesGroups: Bool = true) {
        self.everyone = everyone
        self.tellsBlocked = tellsBlocked
        self.leavesGroups = leavesGroups
    }

    /// As the store keeps it.
    package init(bits: Int64) { self.init(everyone: bits & 1 != 0, tellsBlocked: bits & 2 != 0, leavesGroups: bits & 4 != 0) }
    package var bits: Int64 { (everyone ? 1 : 0) | (tellsBlocked ? 2 : 0) | (leavesGroups ? 4 : 0) }
}
