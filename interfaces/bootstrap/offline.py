"""Wiring for commands that need no workers: file readers, forecasters, and a read-only view of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interfaces.bootstrap.clock import clock_of
from interfaces.bootstrap.stores import database_url
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from application.ledger.checked_file import CheckedFile
    from application.ledger.witness import WitnessCheckpoint
    from application.measurement.regression_source import RegressionSource
    from application.operations.sizing.estimate import Estimate
    from application.operations.sizing.load import SystemLoad
    from application.ports.forecast.load_forecaster import LoadForecaster
    from application.ports.forecast.rolling_forecasts import RollingForecasts
    from application.ports.history_import import ReadingsFile
    from application.ports.public_holidays import PublicHolidays
    from application.ports.regression_fitter import RegressionFitter
    from application.ports.telemetry.store import TelemetryStore
    from projections.audit.stream_log import StreamLog


@dataclass(frozen=True)
class History:
    log: StreamLog
    telemetry: TelemetryStore
    regression: RegressionSource
    pool: Any
    public_holidays: PublicHolidays


@contextmanager
def opened_history(settings: Settings) -> Iterator[History]:
    """The log and the readings, read-only, for one command."""
    from adapters.forecasting.calendar.public_holidays import RegionalHolidays
    from adapters.postgres.audit.stream_log import PostgresStreamLog
    from adapters.postgres.connection.pool import PostgresPool
    from adapters.postgres.telemetry.store import PostgresTelemetryStore
    from adapters.postgres.temperatures import PostgresCellTemperatures
    from application.measurement.regression_source import RegressionSource

    with PostgresPool(
        database_url(settings), min_size=1, max_size=1, timeout=10, configure=_read_only
    ) as pool:
        yield History(
            log=PostgresStreamLog(pool),
            telemetry=PostgresTelemetryStore(pool, clock_of(settings)),
            regression=RegressionSource(regression_fitter(), PostgresCellTemperatures(pool)),
            pool=pool,
            public_holidays=RegionalHolidays(),
        )


def _read_only(connection: Any) -> None:
    connection.read_only = True


def open_readings_file(path: Path, facility_id: str | None = None) -> ReadingsFile:
    """A reader chosen by the file name extension; a Green Button XML file holds `facility_id` only.

    Raises ReadingsFileError.
    """
    from adapters.readings_file import open_readings_file as opened

    return opened(path, facility_id)


def load_forecaster() -> LoadForecaster:
    from adapters.forecasting import BatchedLoadForecaster

    return BatchedLoadForecaster()


def rolling_forecasts() -> RollingForecasts:
    from adapters.forecasting import BatchedRollingForecasts

    return BatchedRollingForecasts()


def regression_fitter() -> RegressionFitter:
    from adapters.regression import StatsmodelsFitter

    return StatsmodelsFitter()


def check_audit_file(
    written: bytes, public_key: bytes | None, witness: WitnessCheckpoint | None = None
) -> CheckedFile:
    """Check a proof or a consistency proof, and compute measurements and settlements again. Raises ProofBroken."""
    from adapters.forecasting.calendar.public_holidays import RegionalHolidays
    from application.ledger.checked_file import check_file
    from application.ledger.recomputation.recompute import Installation

    return check_file(written, public_key, Installation(RegionalHolidays(), regression_fitter()), witness)


def estimator(settings: Settings) -> Callable[[SystemLoad], Estimate]:
    """What estimates the size of a system, with this release's connection budgets and the days of the settings."""
    from application.operations.sizing.estimate import estimate
    from application.operations.sizing.load import Retention
    from interfaces.bootstrap.connection_budget import DEFAULT_PROCESSES, budget_of_worker

    return partial(
        estimate,
        budgets={name: budget_of_worker(name, settings) for name in DEFAULT_PROCESSES},
        defaults=DEFAULT_PROCESSES,
        retention=Retention(
            readings=settings.telemetry_raw_days,
            rollups=settings.telemetry_rollup_days,
            telemetry_log=settings.telemetry_log_days,
            full_backups=settings.backup_keep_full,
        ),
    )
