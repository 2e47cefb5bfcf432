"""Outages of what lies between meters and store, and how long readings took that were due about then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.bench.ingest.commit_times import COMMITTED

BEFORE_S = 2.0
"""What was due so shortly before an outage may wait for its end."""
SEEN_AFTER_S = 20.0
"""What is late by more than that is counted when it has come."""
# What came twice is stored twice until its quarter-hour is settled: it was readable from the first time on.
_DELAY = f"""
SELECT coalesce(max(extract(epoch FROM committed_at - ts)), 0)::float8, count(*) FROM ({COMMITTED}) AS readable
WHERE ts < %(until)s
"""


@dataclass(frozen=True)
class Outage:
    """From the kill until its successor was at work again."""

    victim: str
    began_at: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True)
class Delay:
    """Of what was due from a little before an outage until the next one, as it was stored when somebody looked."""

    until: datetime
    longest_s: float
    """From due to readable."""
    readings: int


@dataclass
class Delays:
    """`rows` asks the store; facilities are those of that `prefix`."""

    prefix: str
    rows: Callable[[str, dict[str, object]], list[tuple[object, ...]]]
    outages: list[Outage] = field(default_factory=list)
    _seen: list[Delay] = field(default_factory=list)

    def look(self, *, to_the_end: bool = False, nothing_followed: bool = False) -> None:
        """At those of outages that are long enough ago, or of all; at the last one, too, where nothing followed on it.

        In good time: some minutes after the end of a quarter-hour what a meter said twice is made one word, and the
        whole quarter-hour of its facility is written anew for that. By then it was readable for long.
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
            print(f"{now:%H:%M:%S} {self.told()[-1]}", flush=True)  # noqa: T201 - for who runs it with -s

    def _delay(self, outage: Outage, until: datetime) -> Delay:
        since = outage.began_at - timedelta(seconds=BEFORE_S)
        span = {"first": self.prefix, "last": f"{self.prefix}~", "since": since, "until": until}
        ((longest_s, readings),) = self.rows(_DELAY, span)
        return Delay(until, float(str(longest_s)), int(str(readings)))

    def longest(self) -> list[tuple[Outage, float]]:
        """Each outage, with the longest that a reading took from then until the next one."""
        found = []
        for outage, seen in zip(self.outages, self._seen, strict=True):
            by_now = self._delay(outage, seen.until)
            # Had something come after somebody looked, that is the longest.
            found.append((outage, (seen if by_now.readings == seen.readings else by_now).longest_s))
        return found

    def told(self) -> list[str]:
        return [
            f"{outage.victim}: away {outage.seconds:.1f} s, longest until readable {delay.longest_s:.1f} s"
            for outage, delay in zip(self.outages, self._seen, strict=False)
        ]
