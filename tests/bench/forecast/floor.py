"""The floors of `bench forecast`: fitting one facility at a time, and the same bytes by plain SQL."""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import TYPE_CHECKING

import numpy as np
import psycopg

if TYPE_CHECKING:
    from datetime import datetime

    from application.ports.forecast.load_forecaster import FacilityHistory
    from domain.time_series.windows import FloatArray
    from tests.bench.environment import BenchDatabase

BYTES_A_FORECAST = 1_300
_READ = (
    "COPY (SELECT facility_id, starts_at, mean_kw, coverage_pct FROM gridproof.interval_readings "
    "WHERE starts_at >= '{since}') TO STDOUT (FORMAT BINARY)"
)
_FORECASTS = """
CREATE TABLE plain_forecasts (
    id uuid, version bigint, topic text, state bytea, position bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (id, version)
)
"""
_WRITE = "COPY plain_forecasts (id, version, topic, state) FROM STDIN (FORMAT BINARY)"


def statsmodels_ms(history: FacilityHistory) -> float:
    """Fitting the mean model of one facility by WLS, once."""
    from statsmodels.regression.linear_model import WLS

    columns, load = _columns(history)
    weights = np.exp2(-np.arange(len(load))[::-1] / (24 * 180))
    began = time.process_time()
    WLS(load, columns, weights=weights, hasconst=True).fit(method="qr")
    return 1000 * (time.process_time() - began)


def lightgbm_ms(history: FacilityHistory) -> float | None:
    """Fitting one facility by LightGBM with default settings on one thread; None where it is not installed."""
    if importlib.util.find_spec("lightgbm") is None:
        return None
    # Imported by name: it belongs to the extra `bench`, which may not be installed.
    lightgbm = importlib.import_module("lightgbm")
    columns, load = _columns(history)
    lags = np.stack([np.roll(load, lag) for lag in (24, 48, 168)], axis=1)
    inputs = np.hstack([np.argmax(columns[:, :168], axis=1)[:, None], columns[:, 168:], lags])[168:]
    began = time.process_time()
    lightgbm.train({"num_threads": 1, "verbose": -1}, lightgbm.Dataset(inputs, load[168:]))
    return 1000 * (time.process_time() - began)


def plain_cycle_s(database: BenchDatabase, count: int, at: datetime) -> float:
    """Seconds to read a day of all intervals and write `count` rows of a forecast's size, without computation."""
    import uuid

    ids = [uuid.uuid4() for _ in range(count)]
    state = bytes(BYTES_A_FORECAST)
    since = at.timestamp() - 86_400
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(_FORECASTS)
        connection.commit()
        began = time.perf_counter()
        statement = _READ.format(since=np.datetime64(int(since), "s").astype(str) + "Z")
        with connection.cursor().copy(statement.encode()) as rows:
            for _ in rows:
                pass
        with connection.cursor().copy(_WRITE) as copy:
            copy.set_types(["uuid", "int8", "text", "bytea"])
            for number in ids:
                copy.write_row((number, 1, "forecast.issued.v2", state))
        connection.commit()
        return time.perf_counter() - began


def _columns(history: FacilityHistory) -> tuple[FloatArray, FloatArray]:
    """The hours' columns of the mean model (168 and the temperature's pieces), and their loads."""
    load = history.mean_kw.values.reshape(-1, 4).mean(axis=1)
    warm = history.temp_c.values.reshape(-1, 4).mean(axis=1)
    week = np.eye(168)[np.arange(len(load)) % 168]
    pieces = np.stack(
        [np.clip(warm - knot, 0, None) for knot in np.quantile(warm, [0.0, 0.2, 0.5, 0.8])], axis=1
    )
    return np.hstack([week, pieces]), load
