"""Telemetry lag: the age of the oldest message that is not stored yet, in wall seconds."""

from collections import deque
from collections.abc import Mapping

LEVELS_S: Mapping[str, float] = {
    "telemetry_lag": 15.0,
    "telemetry_lag_high": 75.0,
    "telemetry_lag_severe": 150.0,
}
RISING = "telemetry_lag_rising"
RISING_FOR_S = 30.0
RISES_BY_S = 10.0
"""The rise over RISING_FOR_S that counts: a backlog that is processed falls, one that stands still ages with
time."""


class LagTrend:
    """The lag trend of one partition. Observations may come at any rate."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, float]] = deque()

    def note(self, at_s: float, lag_s: float) -> Mapping[str, bool]:
        """Record the lag at `at_s` (monotonic). Returns for each alert whether it is on."""
        self._noted.append((at_s, lag_s))
        while len(self._noted) > 1 and self._noted[1][0] <= at_s - RISING_FOR_S:
            self._noted.popleft()
        on = {name: lag_s > level_s for name, level_s in LEVELS_S.items()}
        return {**on, RISING: on["telemetry_lag"] and self._rises(at_s)}

    def _rises(self, at_s: float) -> bool:
        (first_at_s, first_s), (_, last_s) = self._noted[0], self._noted[-1]
        if first_at_s > at_s - RISING_FOR_S:
            return False
        highest = max(lag_s for _, lag_s in self._noted)
        return last_s >= first_s + RISES_BY_S and last_s >= highest
