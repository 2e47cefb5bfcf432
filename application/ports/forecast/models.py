"""Storage for trained models: their parameters, a few kilobytes per facility."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from application.ports.forecast.load_forecaster import TrainedModel


class ForecastModels(Protocol):
    """Synchronous. The notes of a model are not stored. Every method raises OperationsUnavailable."""

    def of(self, facility_ids: Sequence[str]) -> dict[str, TrainedModel]:
        """The newest stored model of each facility; facilities without one are left out."""
        ...

    def trained_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        """When the stored model of each facility was trained; facilities without one are left out."""
        ...

    def keep(self, models: Mapping[str, TrainedModel]) -> None:
        """Store models by facility. An older model is replaced, a newer one is not."""
        ...
