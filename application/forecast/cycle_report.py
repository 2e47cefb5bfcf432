"""The result of a forecast cycle."""

from datetime import datetime

import msgspec


class CycleReport(msgspec.Struct, kw_only=True):
    """The result of a cycle: facility ids, with a reason where there is one."""

    cycle_start: datetime
    issued: list[str] = []
    reissued: list[str] = []
    unchanged: list[str] = []
    kept: list[str] = []
    """The recorded forecast had other inputs, was no worse, and was not made at the same time: it stays."""
    already_full: list[str] = []
    """They had a full-quality forecast for this cycle and were not examined again."""
    degraded: dict[str, str] = {}
    refused: dict[str, str] = {}
    waiting: list[str] = []
    """Those of the refused facilities that have no model and were not yet selected for training."""
    conflicts: list[str] = []
    weather: dict[str, str | None] = {}
    """Weather cell -> why it has no usable weather; None where it has."""
    seconds: float = 0.0

    def has_forecast(self) -> list[str]:
        """The facilities that have a forecast for this cycle."""
        return [*self.issued, *self.reissued, *self.unchanged, *self.kept, *self.already_full]
