"""The rate of malformed messages of each facility over about the last 15 minutes."""

from datetime import datetime, timedelta

import msgspec

from application.bounded_cache import BoundedCache

WINDOW = timedelta(minutes=15)
ALERT_SHARE = 0.01
MAX_FACILITIES = 10_000
"""Ids come from devices. Beyond this many the least recently used facility is dropped."""


class _Tally(msgspec.Struct):
    since: datetime
    until: datetime
    """The present half: `since` is WINDOW before it."""
    messages: int = 0
    malformed: int = 0
    before_messages: int = 0
    before_malformed: int = 0


class MalformedRate:
    """Counts in two halves that roll over, so that memory stays at five numbers per facility."""

    def __init__(self) -> None:
        self._tallies = BoundedCache[str, _Tally]("malformed rates", max_size=MAX_FACILITIES)

    def note(self, facility_id: str, *, malformed: bool, at: datetime) -> None:
        """Count one message."""
        tally = self._tally(facility_id, at)
        tally.messages += 1
        tally.malformed += malformed

    def _tally(self, facility_id: str, at: datetime) -> _Tally:
        tally = self._tallies.get(facility_id)
        if tally is not None and tally.since <= at < tally.until:
            return tally
        if tally is None or at >= tally.until + WINDOW:
            tally = _Tally(at, at + WINDOW)
            self._tallies.put(facility_id, tally)
        elif at >= tally.until:
            tally.before_messages, tally.before_malformed = tally.messages, tally.malformed
            tally.messages = tally.malformed = 0
            tally.since, tally.until = tally.until, tally.until + WINDOW
        else:  # the clock went back: this half must not become longer
            tally.since, tally.until = at, at + WINDOW
        return tally

    def share(self, facility_id: str, *, at: datetime) -> float:
        """The malformed share of the facility's recent messages, 0 to 1."""
        tally = self._tally(facility_id, at)
        messages = tally.messages + tally.before_messages
        return (tally.malformed + tally.before_malformed) / messages if messages else 0.0
