"""The alerts of one partition's lag."""

import time

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.telemetry.lag import LEVELS_S, RISING, LagTrend


class LagAlerts:
    """Whoever begins to watch tells the register anew, so that nothing stays raised by one who died."""

    def __init__(self, alerts: AlertRegistry, clock: Clock, subject: str) -> None:
        self._trend = LagTrend()
        self._switches = {name: AlertSwitch(alerts, clock, name, subject) for name in (*LEVELS_S, RISING)}

    async def note(self, lag_s: float, at_s: float | None = None) -> None:
        """`lag_s` is the age of the oldest message not stored, wall seconds; 0 where all are."""
        on = self._trend.note(time.monotonic() if at_s is None else at_s, lag_s)
        for name, switch in self._switches.items():
            await switch.turn(on=on[name], detail=f"readings wait {lag_s:.0f} s to be stored")
