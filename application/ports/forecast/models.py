"""Where trained models are kept between processes: their parameters, a few kilobytes a facility."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from application.ports.forecast.load_forecaster import TrainedModel


class ForecastModels(Protocol):
    """Synchronous. The notes of a model are for whoever trained it, and are not kept. Raises OperationsUnavailable."""

    def of(self, facility_ids: Sequence[str]) -> dict[str, TrainedModel]:
        """The newest model kept of each; those without one are left out."""
        ...

    def keep(self, models: Mapping[str, TrainedModel]) -> None:
        """By facility; an older one is replaced, a newer one is not."""
        ...
