"""How far behind what people read is, as the live feed hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from application.ports.clock import Clock
from application.ports.live_log import News, ReadModelState
from interfaces.web.live_message import StateData

BEHIND_S = 5.0
"""Wall seconds that a read model, or word of the database, may be late before what is read counts as stale."""
AWAY_FOR_S = 10.0
"""Wall seconds for which one look that failed counts: longer than from one to the next, so that a feed which itself
fails closes nothing."""


class LiveState:
    """Of one process. Ages are clock seconds."""

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._read_models: dict[str, ReadModelState] = {}
        self._heard_at = clock.now()
        self._away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        """The database did not answer when it was asked last, a moment ago."""
        return self._monotonic() < self._away_until

    def heard(self, news: News) -> None:
        self._read_models = {state.name: state for state in news.read_models}
        self._heard_at = self._clock.now()
        self._away_until = float("-inf")

    def away(self) -> None:
        """The database did not answer."""
        self._away_until = self._monotonic() + AWAY_FOR_S

    def behind_s(self, *names: str) -> float:
        """For how long the oldest of these read models has been behind the log; 0 where it is late as usual."""
        since = [self._read_models[name].behind_since for name in names if name in self._read_models]
        age_s = self._age_s(min((moment for moment in since if moment is not None), default=None))
        return age_s if self._clock.wall_seconds(age_s) > BEHIND_S else 0.0

    def unheard_s(self) -> float:
        """For how long nothing was heard of the database."""
        return self._age_s(self._heard_at)

    def data(self, position: int | None) -> StateData:
        """As it is told to those who watch."""
        unheard_s = self.unheard_s()
        if self.is_away and (position is None or self._clock.wall_seconds(unheard_s) > BEHIND_S):
            return StateData(position=position, stale=True, age_s=round(unheard_s, 1), reason="database")
        behind_s = self.behind_s(*self._read_models)
        if behind_s:
            return StateData(position=position, stale=True, age_s=round(behind_s, 1), reason="projections")
        return StateData(position=position, stale=False, age_s=0.0, reason=None)

    def _age_s(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock.now() - since).total_seconds())
