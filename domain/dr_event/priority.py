"""Which of two DR events gets a facility that both want; pure."""

import msgspec


class Standing(msgspec.Struct, frozen=True):
    """`priority` is the utility's own, `rank` the operator's of its program; the lower number is the stronger."""

    utility_id: str
    priority: int
    rank: int


def outranks(claim: Standing, held: Standing) -> bool:
    """Priority decides inside one utility, rank between two; where they are equal the first accepted keeps it."""
    if claim.utility_id == held.utility_id:
        return claim.priority < held.priority
    return claim.rank < held.rank
