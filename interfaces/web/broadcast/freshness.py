"""How far the read models are behind the log, as the live feed observes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from application.ports.clock import Clock
from application.ports.live_feed import LiveUpdate, ReadModelState
from interfaces.web.broadcast.message import StateData

BEHIND_S = 5.0
"""Wall seconds that a read model, or an answer of the database, may be late before reads count as stale."""
AWAY_FOR_S = 10.0
"""Wall seconds for which a failed read counts: longer than the polling interval, and limited, so that a failing feed
does not make the edge refuse requests."""
WENT_BACK_S = 2.0
"""Wall seconds that the clock must be behind the monotonic one, or a domain event ahead of it, to count as set back."""
MAX_RANGES = 60
"""Ranges kept for each read model: those of a minute. Later positions extend the last one."""


class ClockReading(NamedTuple):
    at: datetime
    """The clock."""
    monotonic: float


class _UnfoldedRange(NamedTuple):
    """Unfolded positions up to `until`, which existed at `since`."""

    until: int
    since: float
    """Seconds of the monotonic clock."""


class _ReadModel(NamedTuple):
    state: ReadModelState
    ranges: tuple[_UnfoldedRange, ...]
    """In order, at most MAX_RANGES; empty at the head of the log."""


class LiveState:
    """State of one process. Ages are clock seconds: the longer of the clock's and the monotonic clock's difference.

    A clock may be set back, which makes nothing younger. Times recorded before that are unreliable, so the age of a
    read model then counts from when its unfolded positions were first observed, until it has passed them. The same
    holds if the clock of the recording process is ahead of this one.
    """

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._read_models: dict[str, _ReadModel] = {}
        self._last_answer = self.now()
        self._unreliable_until = 0
        """A position: what is before it may be of before the clock went back."""
        self._away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        """True if the last read of the database, a moment ago, failed."""
        return self._monotonic() < self._away_until

    @property
    def is_overdue(self) -> bool:
        """True if the last answer of the database is too old, even if no read failed; by the monotonic clock."""
        return self._monotonic() - self._last_answer.monotonic > BEHIND_S

    def now(self) -> ClockReading:
        return ClockReading(self._clock.now(), self._monotonic())

    def update(self, read_update: LiveUpdate, requested_at: ClockReading) -> None:
        """Record an answer of the database. `requested_at`: when it was requested, which is its maximum age."""
        if self._went_back(requested_at) or any(
            self._is_ahead_of(requested_at, state) for state in read_update.read_models
        ):
            self._unreliable_until = read_update.head
        self._last_answer = requested_at
        self._read_models = {
            state.name: self._seen(state, read_update.head) for state in read_update.read_models
        }
        self._away_until = float("-inf")

    def away(self) -> None:
        """Record that the database did not answer."""
        self._away_until = self._monotonic() + AWAY_FOR_S

    def behind_s(self, *names: str) -> float:
        """For how long the oldest of these read models has been behind the log; 0 for the usual delay.

        While the database does not answer, the time since its last answer counts too.
        """
        found = [self._read_models[name] for name in names if name in self._read_models]
        ages = [
            self._age_s(ClockReading(state.behind_since, ranges[0].since))
            for state, ranges in found
            if state.behind_since
        ]
        if self.is_overdue and names:
            ages.append(self.silence_s())
        age_s = max(ages, default=0.0)
        return age_s if self._clock.wall_seconds(age_s) > BEHIND_S else 0.0

    def silence_s(self) -> float:
        """Clock seconds since the last answer of the database."""
        return self._age_s(self._last_answer)

    def data(self, position: int | None) -> StateData:
        """The state as subscribers get it."""
        silence_s = self.silence_s()
        is_late = position is None or self._clock.wall_seconds(silence_s) > BEHIND_S
        if self.is_overdue or (self.is_away and is_late):
            return StateData(position=position, stale=True, age_s=round(silence_s, 1), reason="database")
        behind_s = self.behind_s(*self._read_models)
        if behind_s:
            return StateData(position=position, stale=True, age_s=round(behind_s, 1), reason="projections")
        return StateData(position=position, stale=False, age_s=0.0, reason=None)

    def _seen(self, state: ReadModelState, head: int) -> _ReadModel:
        if state.behind_since is None:
            return _ReadModel(state, ())
        since = self._last_answer.monotonic - max(self._wall_s_since(state, self._last_answer), 0.0)
        before = self._read_models.get(state.name)
        stands = before is not None and before.state.behind_since == state.behind_since
        is_doubtful = state.position < self._unreliable_until
        ranges = before.ranges if before is not None and (stands or is_doubtful) else ()
        ranges = tuple(one for one in ranges if one.until > state.position)
        if not ranges:
            return _ReadModel(state, (_UnfoldedRange(head, since),))
        ranges = (ranges[0]._replace(since=min(since, ranges[0].since)), *ranges[1:])
        if head > ranges[-1].until:
            if len(ranges) < MAX_RANGES:
                ranges = (*ranges, _UnfoldedRange(head, self._last_answer.monotonic))
            else:
                ranges = (*ranges[:-1], ranges[-1]._replace(until=head))
        return _ReadModel(state, ranges)

    def _went_back(self, requested_at: ClockReading) -> bool:
        passed_s = self._clock.wall_seconds((requested_at.at - self._last_answer.at).total_seconds())
        return requested_at.monotonic - self._last_answer.monotonic - passed_s > WENT_BACK_S

    def _is_ahead_of(self, now: ClockReading, state: ReadModelState) -> bool:
        """True if its next domain event, a new one, has a time in the future."""
        is_new = state.position >= self._unreliable_until
        return is_new and self._wall_s_since(state, now) < -WENT_BACK_S

    def _wall_s_since(self, state: ReadModelState, now: ClockReading) -> float:
        """Since the oldest domain event that it has not folded; 0 at the head of the log."""
        since = state.behind_since
        return 0.0 if since is None else self._clock.wall_seconds((now.at - since).total_seconds())

    def _age_s(self, since: ClockReading) -> float:
        passed_s = (self._monotonic() - since.monotonic) / max(self._clock.wall_seconds(1.0), 1e-9)
        return max(passed_s, (self._clock.now() - since.at).total_seconds())
