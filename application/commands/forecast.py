"""Commands on forecasts, and the result of issuing one."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.forecast import DataQuality, ForecastInputs, ForecastModel
from domain.time_series.quantiles import CompactSteps, QuantileSteps


class IssueForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Issue the forecast of a facility for a cycle, or replace it by a better one. Reply: Issue.

    Refused with ForecastConflict or InvalidForecast.
    """

    facility_id: str
    cycle_start: datetime
    inputs: ForecastInputs
    model: ForecastModel
    steps: QuantileSteps | CompactSteps


Outcomes = Literal["issued", "reissued", "unchanged", "kept"]
"""Unchanged: equal inputs. Kept: the forecast in force has better inputs."""


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast now in force for that cycle."""

    forecast_id: UUID
    outcome: Outcomes
    data_quality: DataQuality
