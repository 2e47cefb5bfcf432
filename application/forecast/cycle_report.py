"""The results of a forecast cycle and of a training on request."""

from datetime import datetime
from typing import Self

import msgspec

from application.ports.forecast.load_forecaster import TrainedModel


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
    """Another process recorded a forecast for this cycle from other inputs meanwhile: that one stays."""
    weather: dict[str, str | None] = {}
    """Weather cell -> why it has no usable weather; None where it has."""
    seconds: float = 0.0

    def has_forecast(self) -> list[str]:
        """The facilities that have a forecast for this cycle."""
        return [
            *self.issued,
            *self.reissued,
            *self.unchanged,
            *self.kept,
            *self.already_full,
            *self.conflicts,
        ]


class TrainingOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was trained."""

    model: str
    uses_weather: bool
    known_until: datetime | None
    """The end of the history that it was trained on."""
    notes: tuple[str, ...] = ()
    """What was left out of the history, and why."""

    @classmethod
    def of(cls, model: TrainedModel) -> Self:
        return cls(
            model=model.name,
            uses_weather=model.uses_weather,
            known_until=model.known_until,
            notes=model.notes,
        )


class TrainingReport(msgspec.Struct, kw_only=True):
    """The result of a training on request: facility ids, with a reason where there is no model."""

    at: datetime
    trained: dict[str, TrainingOutcome] = {}
    refused: dict[str, str] = {}
    weather: dict[str, str | None] = {}
    """Weather cell -> why it has no usable weather; None where it has. Empty without a weather service."""
    seconds: float = 0.0
