"""Token buckets, for quotas of what devices may send: bytes, or days of the past."""

from collections import OrderedDict

import msgspec

from application.telemetry.ingest.malformed_rate import MAX_FACILITIES


class Allowance(msgspec.Struct, frozen=True):
    """The burst size, and the refill rate a second, in the unit of its quota."""

    at_once: float
    per_s: float


class TokenBucket(msgspec.Struct):
    """What is left of an allowance; `now_s` is monotonic wall time."""

    size: float
    at_s: float

    def filled(self, allowance: Allowance, now_s: float) -> float:
        passed_s = max(0.0, now_s - self.at_s)
        self.size = min(allowance.at_once, self.size + allowance.per_s * passed_s)
        self.at_s = max(self.at_s, now_s)
        return self.size


class FacilityBuckets:
    """A bucket for each facility. Ids come from devices, so beyond the limit the least recently used one is dropped."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def filled(self, facility_id: str, allowance: Allowance, now_s: float) -> TokenBucket:
        """The bucket of a facility, with what was added to it until now; a new one is full."""
        bucket = self._buckets.get(facility_id)
        if bucket is None:
            bucket = self._buckets[facility_id] = TokenBucket(allowance.at_once, now_s)
            if len(self._buckets) > MAX_FACILITIES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(facility_id)
            bucket.filled(allowance, now_s)
        return bucket


class SharedBuckets:
    """A bucket for each facility, and one for all of them together."""

    def __init__(self, of_all: Allowance) -> None:
        self._of_all = of_all
        self._all: TokenBucket | None = None
        self._facilities = FacilityBuckets()

    def takes(self, facility_id: str, size: float, of_a_facility: Allowance, *, now_s: float) -> bool:
        """Take `size` from both; where one of them has less, from neither."""
        mine = self._facilities.filled(facility_id, of_a_facility, now_s)
        everybody = self._all = self._all or TokenBucket(self._of_all.at_once, now_s)
        if mine.size < size or everybody.filled(self._of_all, now_s) < size:
            return False
        mine.size -= size
        everybody.size -= size
        return True
