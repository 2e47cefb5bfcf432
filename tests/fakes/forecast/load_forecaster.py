"""A forecaster by the mean of the time of day; it passes the contract suite of the real one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from application.ports.forecast.load_forecaster import (
    BlockQuantiles,
    FacilityHistory,
    LoadQuantiles,
    RecentBlock,
    TemperaturesAhead,
    TooLittleHistory,
    TrainedModel,
)
from domain.time_series.windows import IntervalSeries


class FakeLoadForecaster:
    """Its quantiles are ten percent to both sides."""

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        series = history.mean_kw
        step = timedelta(seconds=series.step_s)
        by_hour: dict[int, list[float]] = {}
        for index, kw in enumerate(series.values.tolist()):
            if not np.isnan(kw):
                by_hour.setdefault((series.starts_at + step * index).astimezone(UTC).hour, []).append(kw)
        known = sum(len(found) for found in by_hour.values()) * series.step_s / 3600
        if known < 24:
            raise TooLittleHistory(f"only {known:g} hours are known of {history.facility_id}")
        overall = float(np.nanmean(series.values))
        means = [float(np.mean(by_hour.get(hour, [overall]))) for hour in range(24)]
        return TrainedModel(
            name="fake",
            version="1",
            trained_at=at,
            uses_weather=bool(np.isfinite(history.temp_c.values).any()),
            parameters=msgspec.json.encode(means),
        )

    def can_use_weather(self, history: FacilityHistory) -> bool:
        return bool((np.isfinite(history.mean_kw.values) & np.isfinite(history.temp_c.values)).any())

    def train_many(
        self, histories: Sequence[FacilityHistory], *, at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        found: list[TrainedModel | TooLittleHistory] = []
        for history in histories:
            try:
                found.append(self.train(history, at=at))
            except TooLittleHistory as error:
                found.append(error)
        return found

    def forecast_many(
        self,
        models: Sequence[TrainedModel],
        recent: RecentBlock,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: TemperaturesAhead | None,
    ) -> BlockQuantiles:
        found = []
        for row, model in enumerate(models):
            alone = FacilityHistory(
                facility_id=recent.facility_ids[row],
                tz=recent.tz[row],
                mean_kw=IntervalSeries(recent.starts_at, recent.step_s, recent.mean_kw[row]),
                temp_c=IntervalSeries(recent.starts_at, recent.step_s, recent.temp_c[row]),
            )
            told = None
            if temperatures is not None:
                told = IntervalSeries(temperatures.starts_at, 3600, temperatures.temp_c[row])
            found.append(self.forecast(model, alone, starts_at=starts_at, steps=steps, temperatures=told))
        return BlockQuantiles(
            kw=np.stack([[one.p10_kw, one.p50_kw, one.p90_kw] for one in found], axis=1),
            used_weather=tuple(one.used_weather for one in found),
            ages_h=(0,) * len(found),
            left_out=(0,) * len(found),
            unheard=(0,) * len(found),
        )

    def forecast(
        self,
        model: TrainedModel,
        recent: FacilityHistory,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: IntervalSeries | None,
    ) -> LoadQuantiles:
        step = timedelta(seconds=recent.mean_kw.step_s)
        if step * steps > timedelta(hours=48):
            raise ValueError("at most 48 hours")
        means = msgspec.json.decode(model.parameters, type=list[float])
        middle = np.array([means[(starts_at + step * i).astimezone(UTC).hour] for i in range(steps)])
        room = 0.1 * np.abs(middle)
        warm = temperatures is not None and bool(np.isfinite(temperatures.values).any())
        return LoadQuantiles(
            p10_kw=middle - room,
            p50_kw=middle,
            p90_kw=middle + room,
            used_weather=warm and model.uses_weather,
        )
