"""The inputs of many sites at the start of a forecast cycle, read together."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from application.forecast.cycle_weather import CellWeather
from application.forecast.forecast_commands import (
    COVERAGE_OF,
    STEP_S,
    ForecastSite,
    SiteInputs,
    with_past_weather,
)
from application.ports.forecast.load_forecaster import RECENT_DAYS, FacilityHistory, TrainedModel
from application.ports.telemetry.store import TelemetryStore
from domain.forecast import CYCLE, NoTelemetry
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import IntervalSeries, TimeWindow

MIN_DAYS = 2


def days_to_read(models: Sequence[TrainedModel | None], at: datetime) -> int:
    """The days of history to read, so that nothing is missed since the models' histories ended.

    At least two: within one day an origin in mid-hour sees 23 whole hours, too few to detect a meter that
    stood still for 24.
    """
    ends = [model.known_until for model in models if model and model.known_until]
    return min(max([MIN_DAYS, *(-(-(at - end) // timedelta(days=1)) for end in ends)]), RECENT_DAYS)


def inputs_of(
    telemetry: TelemetryStore,
    sites: Sequence[ForecastSite],
    weather: Mapping[str, CellWeather],
    cycle_start: datetime,
    *,
    days: int,
) -> Iterable[tuple[ForecastSite, SiteInputs | NoTelemetry]]:
    """The inputs of each site: the last `days` before the cycle. Raises TelemetryStoreUnavailable."""
    if not sites:
        return
    ids = [site.facility_id for site in sites]
    newest = telemetry.newest_readings_at(ids)
    window = TimeWindow(cycle_start - CYCLE * (96 * days), cycle_start)
    block = telemetry.interval_series_of(ids, window, STEP_S)
    for row, site in enumerate(sites):
        newest_at = newest.get(site.facility_id)
        if newest_at is None:
            yield (
                site,
                NoTelemetry(
                    f"nothing was ever metered at {site.facility_id}; import history, or connect its meters"
                ),
            )
        else:
            yield site, _site_inputs(site, block, row, newest_at, weather.get(site.weather_cell))


def _site_inputs(
    site: ForecastSite, block: IntervalBlock, row: int, newest_at: datetime, weather: CellWeather | None
) -> SiteInputs:
    report = weather.report if weather else None
    last_day: Any = block.coverage_pct[row, -(COVERAGE_OF // CYCLE) :]
    return SiteInputs(
        history=FacilityHistory(
            facility_id=site.facility_id,
            tz=site.tz,
            region=site.region,
            mean_kw=IntervalSeries(block.starts_at, block.step_s, block.mean_kw[row]),
            temp_c=with_past_weather(
                IntervalSeries(block.starts_at, block.step_s, block.temp_c[row]), report
            ),
        ),
        sensor_coverage_pct=float(last_day.mean()),
        newest_reading_at=min(newest_at, _covered_until(block, row)),
        weather=report,
        weather_age_s=weather.age_s if weather else None,
    )


def _covered_until(block: IntervalBlock, row: int) -> datetime:
    """The end of the last step with data. A cycle of the past must not see newer readings."""
    known: Any = np.flatnonzero(block.coverage_pct[row] > 0)
    return block.starts_at + timedelta(seconds=block.step_s * (int(known[-1]) + 1 if known.size else 0))
