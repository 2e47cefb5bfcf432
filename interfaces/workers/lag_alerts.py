"""The alerts and the metric of one partition's lag."""

import time
from contextlib import suppress

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.telemetry_lag import LEVELS_S, RISING, LagTrend
from interfaces.workers.alert_switch import AlertSwitch
from interfaces.workers.telemetry_metrics import LAG_S


class LagAlerts:
    """Whoever takes a partition over tells the register anew, so that nothing stays raised by a dead worker."""

    def __init__(self, alerts: AlertRegistry, clock: Clock, subject: str) -> None:
        self._partition = subject.removeprefix("partition ")
        self._trend = LagTrend()
        self._switches = {name: AlertSwitch(alerts, clock, name, subject) for name in (*LEVELS_S, RISING)}

    async def note(self, lag_s: float, at_s: float | None = None) -> None:
        """`lag_s` is the age of the oldest message not stored, wall seconds; 0 where all are."""
        LAG_S.labels(self._partition).set(lag_s)
        on = self._trend.note(time.monotonic() if at_s is None else at_s, lag_s)
        for name, switch in self._switches.items():
            await switch.turn(on=on[name], detail=f"readings wait {lag_s:.0f} s to be stored")

    def forget(self) -> None:
        """Another worker has the partition now: an old lag shown as today's would be worse than none."""
        with suppress(KeyError):
            LAG_S.remove(self._partition)
