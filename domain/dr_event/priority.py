"""Priority: which of two DR events gets a facility that both need."""

import msgspec


class Claim(msgspec.Struct, frozen=True):
    """A DR event's claim on a facility. `priority` is the utility's, `rank` the operator's rank of the
    program.

    The lower number is the stronger.
    """

    utility_id: str
    priority: int
    rank: int


def outranks(claim: Claim, held: Claim) -> bool:
    """True if `claim` takes the facility from `held`.

    Within one utility the priority decides, between utilities the rank. If they are equal, the event accepted
    first keeps the facility.
    """
    if claim.utility_id == held.utility_id:
        return claim.priority < held.priority
    return claim.rank < held.rank
