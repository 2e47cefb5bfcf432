"""The inputs of baselines by regression: the temperatures of a facility's readings, else those of its weather cell."""

from dataclasses import dataclass

import numpy as np

from application.measurement.baseline import RegressionInputs
from application.measurement.basis import MeasuringBasis
from application.ports.regression_fitter import RegressionFitter
from application.ports.weather.temperatures import CellTemperatures
from domain.facility import FacilityState
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import IntervalSeries, TimeWindow


@dataclass(frozen=True)
class RegressionSource:
    """Synchronous."""

    fitter: RegressionFitter
    temperatures: CellTemperatures

    def inputs_of(
        self, block: IntervalBlock, facility: FacilityState, *, final_only: bool = True
    ) -> RegressionInputs:
        """The inputs for the steps of `block`. Raises OperationsUnavailable.

        `final_only`: temperatures of a weather cell that a later report may replace are missing. What is recorded as a
        measurement is computed from the others, so that it can be computed again.
        """
        known = block.temperatures(facility.facility_id)
        if not np.isnan(known.values).any():
            return RegressionInputs(fitter=self.fitter, temperatures=known)
        window = TimeWindow(known.starts_at, known.ends_at)
        cell = facility.locations.at(window.ends_at).weather_cell
        stored = self.temperatures.temperatures_of(cell, window, final_only=final_only)
        values = np.where(np.isnan(known.values), stored.values, known.values)
        return RegressionInputs(
            fitter=self.fitter, temperatures=IntervalSeries(known.starts_at, known.step_s, values)
        )


def inputs_of(
    source: RegressionSource | None,
    basis: MeasuringBasis,
    block: IntervalBlock,
    facility: FacilityState,
    *,
    final_only: bool = True,
) -> RegressionInputs | None:
    """The inputs where the method of `basis` needs them. Raises OperationsUnavailable."""
    if source is None or basis.baseline_method != "regression":
        return None
    return source.inputs_of(block, facility, final_only=final_only)
