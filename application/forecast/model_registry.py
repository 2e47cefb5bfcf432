"""Whose models are trained in a cycle: new facilities' before it, the others' after it, once a day, spread over it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.forecast.models import ForecastModels

RETRAIN_AFTER = timedelta(hours=24)
RETRAIN_WEAK_AFTER = timedelta(hours=6)
"""A model that is naive or without weather is tried again sooner: more history may have come."""
TRIED_AGAIN_AFTER = timedelta(hours=1)
"""Who could not be trained, as a rule for want of history: to read 400 days of it each cycle would show nothing new."""
CYCLES_A_DAY = 96
NEW_AT_ONCE = 1_000
"""Of facilities without a model, so many are trained in a cycle; the others wait their turn."""
LEAST_AT_ONCE = 4
RECALLED_AT_ONCE = 500


class ModelRegistry:
    """The trained models of this process, by facility, and `kept` between processes; None: they are not."""

    def __init__(
        self,
        kept: ForecastModels | None = None,
        *,
        readable: Callable[[TrainedModel], bool] = lambda _: True,
    ) -> None:
        """Of the kept ones those that the forecaster does not read, as another release's, are left alone."""
        self._kept = kept
        self._readable = readable
        self._models: dict[str, TrainedModel] = {}
        self._tries: dict[str, int] = {}
        self._in_vain: dict[str, tuple[datetime, str]] = {}

    def get(self, facility_id: str) -> TrainedModel | None:
        return self._models.get(facility_id)

    def put(self, models: Mapping[str, TrainedModel]) -> None:
        """Raises OperationsUnavailable; this process has them all the same."""
        self._models |= models
        for one in models:
            self._in_vain.pop(one, None)
        if self._kept is not None and models:
            self._kept.keep(models)

    def record_failures(self, reasons: Mapping[str, str], at: datetime) -> None:
        """Facility -> why it could not be trained in the cycle of `at`; it is left alone for TRIED_AGAIN_AFTER."""
        self._in_vain |= {one: (at, why) for one, why in reasons.items()}

    def failure_reason(self, facility_id: str, at: datetime) -> str | None:
        """Why it could not be trained a short while before `at`, and when that was; None: it may be tried."""
        if (known := self._in_vain.get(facility_id)) is None:
            return None
        tried_at, why = known
        if _is_over(TRIED_AGAIN_AFTER, tried_at, at):
            return None
        return f"{why} (as of {tried_at.isoformat()}, tried again within the hour)"

    def recall(self, facility_ids: Sequence[str], at: datetime) -> None:
        """Take over what was kept by `at` of those that this process has no model of. Raises OperationsUnavailable.

        For a cycle of the past, a model that was trained later would know what was to come.
        """
        unknown = [one for one in facility_ids if one not in self._models]
        if self._kept is None:
            return
        for start in range(0, len(unknown), RECALLED_AT_ONCE):
            found = self._kept.of(unknown[start : start + RECALLED_AT_ONCE])
            self._models |= {
                one: model for one, model in found.items() if model.trained_at <= at and self._readable(model)
            }

    def new(self, facility_ids: Sequence[str], at: datetime) -> list[str]:
        """Those without a model that are trained in the cycle of `at`, before it forecasts; who was tried comes last.

        So that facilities that cannot be trained, for want of history, keep nobody from being so.
        """
        waiting = [
            one for one in facility_ids if one not in self._models and not self.failure_reason(one, at)
        ]
        chosen = sorted(waiting, key=lambda one: self._tries.get(one, 0))[:NEW_AT_ONCE]
        for one in chosen:
            self._tries[one] = self._tries.get(one, 0) + 1
        return chosen

    def due(self, facility_ids: Sequence[str], at: datetime) -> list[str]:
        """Those to be trained again after the cycle of `at`: the oldest models, no more than a day's share.

        The share is half as much again as needed, so that what fell behind is caught up with.
        """
        due = [
            one
            for one in facility_ids
            if one in self._models and _is_due(self._models[one], at) and not self.failure_reason(one, at)
        ]
        old = sorted(due, key=lambda one: (self._last_tried_at(one), one))
        share = max(LEAST_AT_ONCE, -(-len(facility_ids) * 3 // (CYCLES_A_DAY * 2)))
        return old[:share]

    def _last_tried_at(self, facility_id: str) -> datetime:
        trained_at = self._models[facility_id].trained_at
        tried_at, _ = self._in_vain.get(facility_id, (trained_at, ""))
        return max(trained_at, tried_at)


def _is_due(model: TrainedModel, at: datetime) -> bool:
    return _is_over(RETRAIN_AFTER if model.uses_weather else RETRAIN_WEAK_AFTER, model.trained_at, at)


def _is_over(span: timedelta, since: datetime, at: datetime) -> bool:
    """Also where `since` has not come: a clock was set back, and nobody waits until it is there again."""
    return not timedelta(0) <= at - since < span
