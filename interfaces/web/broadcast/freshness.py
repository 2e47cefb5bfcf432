"""How far behind what people read is, as the live feed hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from application.ports.clock import Clock
from application.ports.live_feed import LiveUpdate, ReadModelState
from interfaces.web.broadcast.message import StateData

BEHIND_S = 5.0
"""Wall seconds that a read model, or word of the database, may be late before what is read counts as stale."""
AWAY_FOR_S = 10.0
"""Wall seconds for which one look that failed counts: longer than from one to the next, so that a feed which itself
fails closes nothing."""
WENT_BACK_S = 2.0
"""Wall seconds that a clock must be behind the monotonic one, or a domain event ahead of it, to count as set back."""
MOST_KNOWN = 60
"""Times that are kept for each read model of what it has not folded: a minute of looks. What comes after is of the last
one."""


class Moment(NamedTuple):
    at: datetime
    """On the clock."""
    monotonic: float


class _Known(NamedTuple):
    """What a read model has not folded: of that, what is up to this position was there at that time."""

    until: int
    since: float
    """Seconds of the monotonic clock."""


class _Seen(NamedTuple):
    state: ReadModelState
    known: tuple[_Known, ...]
    """In order, MOST_KNOWN at most; none at the head of the log."""


class LiveState:
    """Of one process. Ages are clock seconds, and the longer of what the clock says and of what has passed on the
    monotonic clock: a clock may go back, and nothing is younger by that. What was recorded before it went back says
    nothing of its age, so a read model counts as behind since what it has not folded was seen to be there, however it
    moves, until it is past that. So it does where the clock of whoever records is ahead of this one.
    """

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._read_models: dict[str, _Seen] = {}
        self._heard = self.now()
        self._doubtful_until = 0
        """A position: what is before it may be of before the clock went back."""
        self._away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        """The database did not answer when it was asked last, a moment ago."""
        return self._monotonic() < self._away_until

    @property
    def is_unheard(self) -> bool:
        """Nothing was heard of the database for too long, be it away or not. A clock that leaps is no silence."""
        return self._monotonic() - self._heard.monotonic > BEHIND_S

    def now(self) -> Moment:
        return Moment(self._clock.now(), self._monotonic())

    def heard(self, read_update: LiveUpdate, asked: Moment) -> None:
        """`asked`: when the database was asked for that; it may be as old by now."""
        if self._went_back(asked) or any(
            self._is_ahead_of(asked, state) for state in read_update.read_models
        ):
            self._doubtful_until = read_update.head
        self._heard = asked
        self._read_models = {
            state.name: self._seen(state, read_update.head) for state in read_update.read_models
        }
        self._away_until = float("-inf")

    def away(self) -> None:
        """The database did not answer."""
        self._away_until = self._monotonic() + AWAY_FOR_S

    def behind_s(self, *names: str) -> float:
        """For how long the oldest of these read models has been behind the log; 0 where it is late as usual.

        Where the database is unheard of nobody knows more than that they were not further behind when it was heard.
        """
        found = [self._read_models[name] for name in names if name in self._read_models]
        ages = [
            self._age_s(Moment(state.behind_since, known[0].since))
            for state, known in found
            if state.behind_since
        ]
        if self.is_unheard and names:
            ages.append(self.unheard_s())
        age_s = max(ages, default=0.0)
        return age_s if self._clock.wall_seconds(age_s) > BEHIND_S else 0.0

    def unheard_s(self) -> float:
        """For how long nothing was heard of the database."""
        return self._age_s(self._heard)

    def data(self, position: int | None) -> StateData:
        """As it is told to those who watch."""
        unheard_s = self.unheard_s()
        is_late = position is None or self._clock.wall_seconds(unheard_s) > BEHIND_S
        if self.is_unheard or (self.is_away and is_late):
            return StateData(position=position, stale=True, age_s=round(unheard_s, 1), reason="database")
        behind_s = self.behind_s(*self._read_models)
        if behind_s:
            return StateData(position=position, stale=True, age_s=round(behind_s, 1), reason="projections")
        return StateData(position=position, stale=False, age_s=0.0, reason=None)

    def _seen(self, state: ReadModelState, head: int) -> _Seen:
        if state.behind_since is None:
            return _Seen(state, ())
        since = self._heard.monotonic - max(self._wall_s_since(state, self._heard), 0.0)
        before = self._read_models.get(state.name)
        stands = before is not None and before.state.behind_since == state.behind_since
        is_doubtful = state.position < self._doubtful_until
        known = before.known if before is not None and (stands or is_doubtful) else ()
        known = tuple(one for one in known if one.until > state.position)
        if not known:
            return _Seen(state, (_Known(head, since),))
        known = (known[0]._replace(since=min(since, known[0].since)), *known[1:])
        if head > known[-1].until:
            if len(known) < MOST_KNOWN:
                known = (*known, _Known(head, self._heard.monotonic))
            else:
                known = (*known[:-1], known[-1]._replace(until=head))
        return _Seen(state, known)

    def _went_back(self, asked: Moment) -> bool:
        passed_s = self._clock.wall_seconds((asked.at - self._heard.at).total_seconds())
        return asked.monotonic - self._heard.monotonic - passed_s > WENT_BACK_S

    def _is_ahead_of(self, now: Moment, state: ReadModelState) -> bool:
        """It goes on with a domain event of a time that has not come, and that was not known yet."""
        is_new = state.position >= self._doubtful_until
        return is_new and self._wall_s_since(state, now) < -WENT_BACK_S

    def _wall_s_since(self, state: ReadModelState, now: Moment) -> float:
        """Of the oldest domain event that it has not folded; 0 at the head of the log."""
        since = state.behind_since
        return 0.0 if since is None else self._clock.wall_seconds((now.at - since).total_seconds())

    def _age_s(self, since: Moment) -> float:
        passed_s = (self._monotonic() - since.monotonic) / max(self._clock.wall_seconds(1.0), 1e-9)
        return max(passed_s, (self._clock.now() - since.at).total_seconds())
