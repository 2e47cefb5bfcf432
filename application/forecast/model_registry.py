"""The trained models, and the selection of models to train: new facilities before a cycle; the others once a
day, after it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.forecast.models import ForecastModels

RETRAIN_AFTER = timedelta(hours=24)
RETRAIN_WEAK_AFTER = timedelta(hours=6)
"""A naive model, or one without weather, is trained again sooner: more history may have arrived."""
TRIED_AGAIN_AFTER = timedelta(hours=1)
"""The pause after a failed training. The usual cause is too little history, and reading 400 days of it each
cycle would be useless."""
CYCLES_A_DAY = 96
NEW_AT_ONCE = 1_000
"""The most facilities without a model that are trained in a cycle; the others wait for a later cycle."""
MIN_AT_ONCE = 4
EXAMINED_AT_ONCE = 64
"""Of the facilities without weather, how many a cycle examines for weather that came meanwhile."""
IMPROVED_AGAIN_AFTER = RETRAIN_WEAK_AFTER
NEVER = datetime.min.replace(tzinfo=UTC)
RECALLED_AT_ONCE = 500


class ModelRegistry:
    """The trained models of this process by facility. `kept` stores them between processes; None: they are
    not stored."""

    def __init__(
        self,
        kept: ForecastModels | None = None,
        *,
        readable: Callable[[TrainedModel], bool] = lambda _: True,
    ) -> None:
        """`readable` returns whether the forecaster can read a stored model; one of another release is
        ignored."""
        self._kept = kept
        self._readable = readable
        self._models: dict[str, TrainedModel] = {}
        self._tries: dict[str, int] = {}
        self._in_vain: dict[str, tuple[datetime, str]] = {}
        self._examined: dict[str, tuple[datetime, timedelta]] = {}
        """When a model without weather was examined last, and for how long it is not examined again."""

    def get(self, facility_id: str) -> TrainedModel | None:
        return self._models.get(facility_id)

    def put(self, models: Mapping[str, TrainedModel]) -> None:
        """Store models. Raises OperationsUnavailable; this process then uses them nevertheless."""
        self._models |= models
        for one in models:
            self._in_vain.pop(one, None)
        if self._kept is not None and models:
            self._kept.keep(models)

    def record_failures(self, reasons: Mapping[str, str], at: datetime) -> None:
        """Facility -> why it could not be trained in the cycle of `at`; it is skipped for TRIED_AGAIN_AFTER."""
        self._in_vain |= {one: (at, why) for one, why in reasons.items()}

    def failure_reason(self, facility_id: str, at: datetime) -> str | None:
        """Why training failed shortly before `at`, and when; None: it may be tried."""
        if (known := self._in_vain.get(facility_id)) is None:
            return None
        tried_at, why = known
        if _is_over(TRIED_AGAIN_AFTER, tried_at, at):
            return None
        return f"{why} (as of {tried_at.isoformat()}, tried again within the hour)"

    def recall(self, facility_ids: Sequence[str], at: datetime) -> None:
        """Load the stored models trained by `at` that this process does not have: of another process, or of
        `gridproof forecast train`. Raises OperationsUnavailable.

        In a cycle of the past, a model that was trained later would contain data from its future.
        """
        if self._kept is None:
            return
        unknown = [
            one
            for one, trained_at in self._kept.trained_at(facility_ids).items()
            if one not in self._models or self._models[one].trained_at < trained_at <= at
        ]
        for start in range(0, len(unknown), RECALLED_AT_ONCE):
            found = self._kept.of(unknown[start : start + RECALLED_AT_ONCE])
            self._models |= {
                one: model for one, model in found.items() if model.trained_at <= at and self._readable(model)
            }

    def new(self, facility_ids: Sequence[str], at: datetime) -> list[str]:
        """The facilities without a model to be trained before the forecasts of the cycle of `at`; earlier
        failures come last.

        So facilities that cannot be trained, for want of history, do not keep others from training.
        """
        waiting = [
            one for one in facility_ids if one not in self._models and not self.failure_reason(one, at)
        ]
        chosen = sorted(waiting, key=lambda one: self._tries.get(one, 0))[:NEW_AT_ONCE]
        for one in chosen:
            self._tries[one] = self._tries.get(one, 0) + 1
        return chosen

    def without_weather(self, facility_ids: Sequence[str], at: datetime) -> list[str]:
        """The facilities whose models do not use the weather, to be examined before the cycle of `at` for what there
        is now: those first that were not examined for longest."""
        weak = [
            one
            for one in facility_ids
            if one in self._models
            and not self._models[one].uses_weather
            and not self.failure_reason(one, at)
            and self._may_be_examined(one, at)
        ]
        chosen = sorted(weak, key=lambda one: self._examined.get(one, (NEVER,))[0])[:EXAMINED_AT_ONCE]
        self._examined |= dict.fromkeys(chosen, (at, timedelta()))
        return chosen

    def _may_be_examined(self, facility_id: str, at: datetime) -> bool:
        if (known := self._examined.get(facility_id)) is None:
            return True
        examined_at, pause = known
        return _is_over(pause, examined_at, at)

    def record_no_use(self, facility_ids: Iterable[str], at: datetime) -> None:
        """Their histories were read in the cycle of `at`, and a model of them would not use the weather: they are not
        examined again for TRIED_AGAIN_AFTER, since reading them each cycle would be useless."""
        self._examined |= dict.fromkeys(facility_ids, (at, TRIED_AGAIN_AFTER))

    def record_improvement(self, facility_ids: Iterable[str], at: datetime) -> None:
        """They are trained in the cycle of `at` because there is weather for them now; even if their models still use
        none, they are not examined again for IMPROVED_AGAIN_AFTER."""
        self._examined |= dict.fromkeys(facility_ids, (at, IMPROVED_AGAIN_AFTER))

    def due(self, facility_ids: Sequence[str], at: datetime) -> list[str]:
        """The facilities to be trained again after the cycle of `at`: the oldest models, at most a day's
        share.

        The share is 1.5 times what is needed, so that a backlog is worked off.
        """
        due = [
            one
            for one in facility_ids
            if one in self._models and _is_due(self._models[one], at) and not self.failure_reason(one, at)
        ]
        old = sorted(due, key=lambda one: (self._last_tried_at(one), one))
        share = max(MIN_AT_ONCE, -(-len(facility_ids) * 3 // (CYCLES_A_DAY * 2)))
        return old[:share]

    def _last_tried_at(self, facility_id: str) -> datetime:
        trained_at = self._models[facility_id].trained_at
        tried_at, _ = self._in_vain.get(facility_id, (trained_at, ""))
        return max(trained_at, tried_at)


def _is_due(model: TrainedModel, at: datetime) -> bool:
    return _is_over(RETRAIN_AFTER if model.uses_weather else RETRAIN_WEAK_AFTER, model.trained_at, at)


def _is_over(span: timedelta, since: datetime, at: datetime) -> bool:
    """Also true where `since` is in the future: then a clock was set back."""
    return not timedelta(0) <= at - since < span
