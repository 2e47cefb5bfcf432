"""How far behind what people read is, as the live feed hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from application.ports.clock import Clock
from application.ports.live_log import News, ReadModelState
from interfaces.web.live_message import StateData

BEHIND_S = 5.0
"""Wall seconds that a read model, or word of the database, may be late before what is read counts as stale."""
AWAY_FOR_S = 10.0
"""Wall seconds for which one look that failed counts: longer than from one to the next, so that a feed which itself
fails closes nothing."""


class Moment(NamedTuple):
    at: datetime
    """On the clock."""
    monotonic: float


class _Seen(NamedTuple):
    state: ReadModelState
    since: float
    """Seconds of the monotonic clock: since then it has stood there, as far as anybody here has seen."""


class LiveState:
    """Of one process. Ages are clock seconds, and the longer of what the clock says and of what has passed since it was
    seen here: a clock may go back, and nothing is younger by that."""

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._read_models: dict[str, _Seen] = {}
        self._heard = self.now()
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

    def heard(self, news: News, asked: Moment) -> None:
        """`asked`: when the database was asked for that; it may be as old by now."""
        self._heard = asked
        self._read_models = {state.name: self._seen(state) for state in news.read_models}
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
            self._age_s(Moment(state.behind_since, since)) for state, since in found if state.behind_since
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

    def _seen(self, state: ReadModelState) -> _Seen:
        before = self._read_models.get(state.name)
        stands = before is not None and (before.state.position, before.state.behind_since) == (
            state.position,
            state.behind_since,
        )
        return before if before is not None and stands else _Seen(state, self._heard.monotonic)

    def _age_s(self, since: Moment) -> float:
        passed_s = (self._monotonic() - since.monotonic) / max(self._clock.wall_seconds(1.0), 1e-9)
        return max(passed_s, (self._clock.now() - since.at).total_seconds())
