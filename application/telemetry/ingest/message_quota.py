"""Quota for the messages of a facility's meters, whatever is in them: how much ingest reads of each (ADR 0069).

Ingest gets the messages of all facilities in the order of their arrival. Without a quota, those of a login that sends
more than ingest can read would delay the readings of every other facility.
"""

from application.access.token_bucket import Allowance, TokenBucket, TokenBuckets

LEAST = Allowance(64e6, 256e3)
"""Of a facility, however few meters it has."""
OF_A_METER = Allowance(1e6, 1e3)
"""For each meter that the portfolio lists, where that is more: single readings of 130 bytes every 15 s, and those of a
day at once after an outage."""
_LARGE_FROM = 64
MESSAGE_BYTES = 64
"""The cost of a message beside its payload."""
BEYOND_QUOTA = "beyond the quota of its facility"
"""The beginning of the reason of such a message."""


def allowance_of(meters: int) -> Allowance:
    """The quota of a facility that lists `meters` meters."""
    if meters <= _LARGE_FROM:
        return LEAST
    return Allowance(
        max(LEAST.at_once, meters * OF_A_METER.at_once), max(LEAST.per_s, meters * OF_A_METER.per_s)
    )


class MessageQuota:
    """The quota of one process. `now_s` is monotonic wall time, since it is about the time that reading takes."""

    def __init__(self) -> None:
        self._listed: dict[str, TokenBucket] = {}
        """Of facilities that were listed: a dict is faster than a cache, and the portfolio bounds it."""
        self._others = TokenBuckets("message quotas")

    def takes(self, facility_id: str, size: int, *, meters: int | None, now_s: float) -> bool:
        """True if a message with a payload of `size` bytes is read, of a facility that lists `meters` meters. None: the
        portfolio does not list the facility."""
        if meters is None:
            left = self._others.filled(facility_id, LEAST, now_s)
        else:
            left = self._of_listed(facility_id, allowance_of(meters), now_s)
        cost = MESSAGE_BYTES + size
        if left.size < cost:
            return False
        left.size -= cost
        return True

    def _of_listed(self, facility_id: str, allowance: Allowance, now_s: float) -> TokenBucket:
        bucket = self._listed.get(facility_id)
        if bucket is None:
            bucket = self._listed[facility_id] = TokenBucket(allowance.at_once, now_s)
        bucket.filled(allowance, now_s)
        return bucket


def excess_reason(meters: int) -> str:
    """Why a message of a facility that lists `meters` meters was not read."""
    most = allowance_of(meters)
    return (
        f"{BEYOND_QUOTA}: its meters may send {most.at_once / 1e6:.0f} MB at once and {most.per_s / 1e3:.0f} kB "
        "a second; let them send less, then replay this"
    )
