"""Outages between meters and store, and the delay of the readings that were due around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.bench.ingest.commit_times import COMMITTED

BEFORE_S = 2.0
"""Readings due this shortly before an outage may be delayed until its end."""
SEEN_AFTER_S = 20.0
"""Readings later than this are counted on arrival."""
# Duplicates are stored until their quarter-hour is finalized; the reading is readable from the first copy on.
_DELAY = f"""
SELECT coalesce(max(extract(epoch FROM committed_at - ts)), 0)::float8, count(*) FROM ({COMMITTED}) AS readable
WHERE ts < %(until)s
"""


@dataclass(frozen=True)
class Outage:
    """From the kill until the successor was working."""

    victim: str
    began_at: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True)
class Delay:
    """The delay of the readings due from shortly before an outage until the next one, as measured once."""

    until: datetime
    longest_s: float
    """From due time to readable."""
    readings: int


@dataclass
class Delays:
    """Measures delays per outage. `rows` queries the store; `prefix` selects the facilities."""

    prefix: str
    rows: Callable[[str, dict[str, object]], list[tuple[object, ...]]]
    outages: list[Outage] = field(default_factory=list)
    _seen: list[Delay] = field(default_factory=list)

    def look(self, *, to_the_end: bool = False, nothing_followed: bool = False) -> None:
        """Measure the delays of outages that are long enough ago, or of all; of the last one also if no other follows.

        This must happen soon: some minutes after the end of a quarter-hour duplicates are removed, and the facility's
        whole quarter-hour is rewritten with later commit times.
        """
        while len(self._seen) < len(self.outages):
            after = self.outages[len(self._seen) + 1 :]
            now, seen_after = datetime.now(UTC), timedelta(seconds=SEEN_AFTER_S)
            until = after[0].began_at - timedelta(seconds=BEFORE_S) if after else now
            if nothing_followed and not after:
                until = now - seen_after
            elif not to_the_end and (not after or now < until + seen_after):
                return
            self._seen.append(self._delay(self.outages[len(self._seen)], until))
            print(f"{now:%H:%M:%S} {self.summary()[-1]}", flush=True)  # noqa: T201 - progress output with -s

    def _delay(self, outage: Outage, until: datetime) -> Delay:
        since = outage.began_at - timedelta(seconds=BEFORE_S)
        span = {"first": self.prefix, "last": f"{self.prefix}~", "since": since, "until": until}
        ((longest_s, readings),) = self.rows(_DELAY, span)
        return Delay(until, float(str(longest_s)), int(str(readings)))

    def longest(self) -> list[tuple[Outage, float]]:
        """Each outage with the longest delay of a reading from then until the next outage."""
        delays = []
        for outage, seen in zip(self.outages, self._seen, strict=True):
            by_now = self._delay(outage, seen.until)
            # If readings arrived after the first measurement, the new result is used.
            delays.append((outage, (seen if by_now.readings == seen.readings else by_now).longest_s))
        return delays

    def summary(self) -> list[str]:
        return [
            f"{outage.victim}: away {outage.seconds:.1f} s, longest until readable {delay.longest_s:.1f} s"
            for outage, delay in zip(self.outages, self._seen, strict=False)
        ]
