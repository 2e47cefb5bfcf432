"""The load forecaster: a batched engine in numpy; a single facility is a batch of one."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from adapters.forecasting.calendar.local_week import HOUR_S
from adapters.forecasting.data.cleaning import from_first_value
from adapters.forecasting.data.grouping import group_by_span
from adapters.forecasting.data.hourly import hour_of, on_steps
from adapters.forecasting.ensemble.parameters import Block, is_of_this_layout, packed, unpacked
from adapters.forecasting.forecasts import block_quantiles
from adapters.forecasting.models.residual_correction import HORIZON_H
from adapters.forecasting.models.temperature_columns import LEAST_SPAN_K, MIN_HISTORY_H
from adapters.forecasting.training import PreparedHistories, fit_parameters, prepare_histories
from application.ports.forecast.load_forecaster import (
    NAIVE,
    BlockQuantiles,
    FacilityHistory,
    LoadQuantiles,
    RecentBlock,
    TemperaturesAhead,
    TooLittleHistory,
    TrainedModel,
)
from domain.time_series.windows import FloatArray, IntervalSeries

LEAST_HOURS = 24


class BatchedLoadForecaster:
    """Implements LoadForecaster."""

    NAME = "time-of-week-and-temperature"
    NAIVE_NAME = NAIVE
    """The name for facilities with less than five weeks of history."""
    VERSION = "3"

    @classmethod
    def reads(cls, model: TrainedModel) -> bool:
        """True if the model is of this release; one of another version or layout is trained again."""
        return model.version == cls.VERSION and is_of_this_layout(model.parameters)

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        (result,) = self.train_many([history], at=at)
        if isinstance(result, TooLittleHistory):
            raise result
        return result

    def can_use_weather(self, history: FacilityHistory) -> bool:
        """Five weeks of hours with both are enough, however much more load is known."""
        first = hour_of(history.mean_kw.starts_at)
        hours = max(hour_of(history.mean_kw.ends_at) - first, 1)
        load, temp_c = (
            on_steps(series, first * HOUR_S, HOUR_S, hours) for series in (history.mean_kw, history.temp_c)
        )
        both = temp_c[np.isfinite(load) & np.isfinite(temp_c)]
        return len(both) >= MIN_HISTORY_H and float(np.ptp(both)) >= LEAST_SPAN_K

    def train_many(
        self, histories: Sequence[FacilityHistory], *, at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        """Uses mixed naive methods from one day of hours on, models from five weeks on."""
        result: dict[int, TrainedModel | TooLittleHistory] = {}
        histories = [from_first_value(one) for one in histories]
        for group in group_by_span(histories):
            own = [histories[i] for i in group]
            result |= dict(zip(group, self._trained(own, at), strict=True))
        return [result[i] for i in range(len(histories))]

    def _trained(
        self, histories: Sequence[FacilityHistory], at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        collected = prepare_histories(histories)
        known = np.isfinite(collected.batch.load_kw).sum(axis=1)
        block = fit_parameters(collected)
        return [
            self._model(collected=collected, block=block, row=row, parameters=parameters, history=one, at=at)
            if known[row] >= LEAST_HOURS
            else TooLittleHistory(
                f"{known[row]} hours of load are known of {one.facility_id}, a forecast needs {LEAST_HOURS}; "
                "import history, or wait"
            )
            for row, (one, parameters) in enumerate(zip(histories, packed(block), strict=True))
        ]

    def forecast(
        self,
        model: TrainedModel,
        recent: FacilityHistory,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: IntervalSeries | None,
    ) -> LoadQuantiles:
        series = recent.mean_kw
        block = RecentBlock(
            facility_ids=(recent.facility_id,),
            tz=(recent.tz,),
            regions=(recent.region,),
            starts_at=series.starts_at,
            step_s=series.step_s,
            mean_kw=series.values[None],
            temp_c=_aligned_temperature(series, recent.temp_c),
        )
        temperature_block = None if temperatures is None else _hourly(temperatures)
        return self.forecast_many(
            [model], block, starts_at=starts_at, steps=steps, temperatures=temperature_block
        ).of(0)

    def forecast_many(
        self,
        models: Sequence[TrainedModel],
        recent: RecentBlock,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: TemperaturesAhead | None,
    ) -> BlockQuantiles:
        if steps * recent.step_s > HORIZON_H * HOUR_S or HOUR_S % recent.step_s:
            raise ValueError(
                f"at most {HORIZON_H} hours of steps that divide an hour, not {steps} of {recent.step_s} s"
            )
        block = unpacked([model.parameters for model in models])
        return block_quantiles(block, recent, starts_at, steps, temperatures)

    def _model(
        self,
        *,
        collected: PreparedHistories,
        block: Block,
        row: int,
        parameters: bytes,
        history: FacilityHistory,
        at: datetime,
    ) -> TrainedModel:
        is_model = block.is_model[row]
        return TrainedModel(
            name=self.NAME if is_model else self.NAIVE_NAME,
            version=self.VERSION,
            trained_at=at,
            uses_weather=is_model and bool(block.values["climate_known"][row, 0] > 0),
            parameters=parameters,
            known_until=datetime.fromtimestamp(block.ends_hour[row] * HOUR_S, UTC),
            notes=collected.notes[row],
        )


def _aligned_temperature(series: IntervalSeries, temp_c: IntervalSeries) -> FloatArray:
    """Temperatures on the steps of `series`: shape (1, n)."""

    first_s = int(series.starts_at.timestamp())
    return on_steps(temp_c, first_s, series.step_s, len(series.values))[None]


def _hourly(temperatures: IntervalSeries) -> TemperaturesAhead:

    first, last = hour_of(temperatures.starts_at), hour_of(temperatures.ends_at) + 1
    values = on_steps(temperatures, first * HOUR_S, HOUR_S, last - first)
    return TemperaturesAhead(starts_at=datetime.fromtimestamp(first * HOUR_S, UTC), temp_c=values[None])
