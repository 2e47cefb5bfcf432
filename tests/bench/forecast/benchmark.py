"""Benchmark forecast: one cycle of forecasts, the daily update and training, for up to 10,000 facilities.

For comparison the same run fits facilities one at a time: statsmodels' WLS, and LightGBM where it is installed.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.forecast.floor import lightgbm_ms, plain_cycle_s, statsmodels_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from application.ports.forecast.load_forecaster import TrainedModel

SIZES = (100, 1_000, 10_000)
TRAINED, TRAINED_DAYS = 64, 200
BLOCK = 250


class NotAllForecast(RuntimeError):
    """The benchmark's cycle did not forecast all facilities, so its figures would be meaningless."""


def forecast(env: BenchEnvironment) -> Iterator[Figure]:
    """Wall seconds. The details also have processor seconds, which other load on the machine affects less."""
    from tests.bench.forecast.setup import cycle_start, daily_update, forecaster, histories

    at = cycle_start()
    env.report(f"training {TRAINED} facilities")
    days = env.sized(TRAINED_DAYS, least=60)
    training = histories(env.sized(TRAINED, least=2), at - timedelta(hours=12), days)
    started = time.process_time()
    trainer = forecaster()
    models: list[Any] = trainer.train_many(training, at=at)
    trained_ms = 1000 * (time.process_time() - started) / len(training)
    for hours in (1, 6, 18):
        # Facilities are trained at different hours, so the data since the training differs in length.
        models += trainer.train_many(histories(2, at - timedelta(hours=hours), days), at=at)
    one_by_one = statsmodels_ms(training[0])
    lightgbm = lightgbm_ms(training[0])
    if lightgbm is None:
        env.report('LightGBM is not installed, and left out: pip install "gridproof[bench]"')
    update = daily_update(min(BLOCK, env.sized(BLOCK, least=10)))
    started = time.process_time()
    for _ in range(3):
        update()
    updated_ms = 1000 * (time.process_time() - started) / 3 / min(BLOCK, env.sized(BLOCK, least=10))
    yield figure(
        "forecast-train",
        unit="ms/facility",
        ours=trained_ms,
        floor=one_by_one,
        lower_is_better=True,
        details={
            "floor": "statsmodels' WLS of the same history once, without correction, guard or intervals",
            "lightgbm_ms": "not installed" if lightgbm is None else round(lightgbm, 2),
            "daily_update_ms_cpu": round(updated_ms, 3),
            "history_days": len(training[0].mean_kw.values) // 96,
        },
    )
    for size in SIZES:
        yield _cycle(env, env.sized(size, least=10), at, models)


def _cycle(env: BenchEnvironment, count: int, at: datetime, models: Sequence[TrainedModel]) -> Figure:
    from tests.bench.forecast.setup import cycle_of

    wall_s: Counter[str] = Counter()
    cpu_s: Counter[str] = Counter()
    with env.database() as database:
        env.report(f"storing two days of {count:,} facilities")
        with cycle_of(
            database.app_url, count, at, models, lambda name, inner: _Timed(name, inner, wall_s, cpu_s)
        ) as cycle:
            env.report(f"a cycle of {count:,} facilities")
            began, used = time.perf_counter(), time.process_time()
            report = asyncio.run(cycle.run(at=at))
            whole_s, whole_cpu_s = time.perf_counter() - began, time.process_time() - used
        if len(report.issued) != count:
            raise NotAllForecast(
                f"{len(report.issued)} of {count} were issued: {list(report.refused.values())[:1]}"
            )
        floor_s = plain_cycle_s(database, count, at)
    return figure(
        f"forecast-cycle-{count}",
        unit="s",
        ours=whole_s,
        floor=floor_s,
        lower_is_better=True,
        details={
            "cpu_s": round(whole_cpu_s, 3),
            **{f"{name}_s": round(wall_s[name], 3) for name in ("read", "compute", "write")},
            **{f"{name}_cpu_s": round(cpu_s[name], 3) for name in ("read", "compute", "write")},
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "floor": "COPY of a day's intervals out, and of as many rows as long into a table, one statement each",
        },
    )


class _Timed:
    """A proxy that adds up the time of all calls to its target under one name."""

    def __init__(self, name: str, inner: Any, wall_s: Counter[str], cpu_s: Counter[str]) -> None:
        self._name, self._inner = name, inner
        self._wall_s, self._cpu_s = wall_s, cpu_s

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if not callable(found):
            return found

        def timed(*args: Any, **kwargs: Any) -> Any:
            began, used = time.perf_counter(), time.thread_time()
            try:
                return found(*args, **kwargs)
            finally:
                self._wall_s[self._name] += time.perf_counter() - began  # type: ignore[assignment] # Counter of floats
                self._cpu_s[self._name] += time.thread_time() - used  # type: ignore[assignment] # Counter of floats

        return timed
