"""Trained models in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from application.ports.forecast.load_forecaster import TrainedModel


class FakeForecastModels:
    def __init__(self) -> None:
        self.kept: dict[str, TrainedModel] = {}

    def of(self, facility_ids: Sequence[str]) -> dict[str, TrainedModel]:
        return {one: self.kept[one] for one in facility_ids if one in self.kept}

    def trained_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        return {one: model.trained_at for one, model in self.of(facility_ids).items()}

    def keep(self, models: Mapping[str, TrainedModel]) -> None:
        for facility_id, model in models.items():
            known = self.kept.get(facility_id)
            if known is None or known.trained_at <= model.trained_at:
                self.kept[facility_id] = msgspec.structs.replace(model, notes=())
