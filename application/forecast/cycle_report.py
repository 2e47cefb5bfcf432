"""What a forecast cycle came to."""

from datetime import datetime

import msgspec


class CycleReport(msgspec.Struct, kw_only=True):
    """What a cycle came to; facility ids, and why where there is a reason."""

    cycle_start: datetime
    issued: list[str] = []
    reissued: list[str] = []
    unchanged: list[str] = []
    kept: list[str] = []
    """What stood for this cycle was from other inputs, no worse, and not made at the same time: it stays."""
    already_full: list[str] = []
    """They had a forecast of full quality for this cycle, and were not looked at again."""
    degraded: dict[str, str] = {}
    refused: dict[str, str] = {}
    waiting: list[str] = []
    """Of those refused, who has no model and whose turn to be trained it was not."""
    conflicts: list[str] = []
    weather: dict[str, str | None] = {}
    """Weather cell -> why it has no usable weather; None where it has."""
    seconds: float = 0.0

    def has_forecast(self) -> list[str]:
        """The facilities that have a forecast for this cycle that was looked at."""
        return [*self.issued, *self.reissued, *self.unchanged, *self.kept, *self.already_full]
