"""How far behind what people read is, as the live feed hears of it."""

from __future__ import annotations

from datetime import datetime

from application.ports.clock import Clock
from application.ports.live_log import News, ReadModelState
from interfaces.web.live_message import StateData

BEHIND_S = 5.0
"""Wall seconds that a read model, or word of the database, may be late before what is read counts as stale."""


class LiveState:
    """Of one process. Ages are clock seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_models: dict[str, ReadModelState] = {}
        self._heard_at = clock.now()
        self.is_away = False
        """The database did not answer when it was asked last."""

    def heard(self, news: News) -> None:
        self._read_models = {state.name: state for state in news.read_models}
        self._heard_at = self._clock.now()
        self.is_away = False

    def away(self) -> None:
        """The database did not answer."""
        self.is_away = True

    def behind_s(self, *names: str) -> float:
        """For how long the oldest of these read models has been behind the log; 0 where it is late as usual."""
        since = [self._read_models[name].behind_since for name in names if name in self._read_models]
        age_s = self._age_s(min((moment for moment in since if moment is not None), default=None))
        return age_s if self._clock.wall_seconds(age_s) > BEHIND_S else 0.0

    def data(self, position: int | None) -> StateData:
        """As it is told to those who watch."""
        unheard_s = self._age_s(self._heard_at)
        if self.is_away and (position is None or self._clock.wall_seconds(unheard_s) > BEHIND_S):
            return StateData(position=position, stale=True, age_s=round(unheard_s, 1), reason="database")
        behind_s = self.behind_s(*self._read_models)
        if behind_s:
            return StateData(position=position, stale=True, age_s=round(behind_s, 1), reason="projections")
        return StateData(position=position, stale=False, age_s=0.0, reason=None)

    def _age_s(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._clock.now() - since).total_seconds())
