"""Wiring of what calculates: forecasts of load and their scores; measurement, settlement and seals of readings.

Models are trained in a child process, so that a measurement does not wait for them.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta
from functools import partial

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from adapters.forecasting.training_process import ForecasterWithChild
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from application.ports.coordination.locks import Locks
from application.ports.failpoints import Failpoint
from application.telemetry.sealing.day_sealer import DaySealer
from interfaces.bootstrap.forecast import forecast_cycle, forecast_sites
from interfaces.bootstrap.operations import failpoint_of, locks_of, regression_source, remeasuring
from interfaces.bootstrap.stores import Stores, facility_rows
from interfaces.bootstrap.weather import cell_temperatures
from interfaces.workers.compute import forecast, measure, sealing, settle
from interfaces.workers.compute.failing_subjects import FailingSubjects
from interfaces.workers.compute.scoring import ForecastScoring


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    locks = locks_of(stores)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_measurement(stores, locks, stop), name="measurement")
        tasks.create_task(run_forecasts(stores, locks, stop), name="forecasts")


async def run_forecasts(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Run the forecast cycles, and score their forecasts, until `stop` is set."""
    with (
        closing(ForecasterWithChild()) as forecaster,
        forecast_cycle(stores, forecaster=forecaster, reached=failpoint_of(stores)) as cycle,
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_scoring(stores).run(locks, stop), name="forecast scoring")
            await forecast.run(cycle=cycle, clock=stores.clock, locks=locks, stop=stop)


def _scoring(stores: Stores) -> ForecastScoring:
    return ForecastScoring(
        facilities=lambda: [site.facility_id for site in forecast_sites(stores)],
        telemetry=stores.telemetry(),
        past=stores.past_forecasts(),
        scores=stores.forecast_scores(),
        alerts=stores.alerts(),
        clock=stores.clock,
        temperatures=cell_temperatures(stores),
        temperatures_kept=timedelta(days=stores.settings.telemetry_rollup_days),
    )


async def run_measurement(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Measure, settle and seal until `stop` is set."""
    measuring = measure.Measuring(
        due=partial(stores.read_models().deadlines.due, kinds=measure.KINDS),
        store=stores.events,
        telemetry=stores.telemetry(),
        bus=stores.bus,
        clock=stores.clock,
        alerts=stores.alerts(),
        regression=regression_source(stores),
        public_holidays=RegionalHolidays(),
    )
    others: list[measure.MeasurementPass] = [remeasuring(stores), _settling(stores, failpoint_of(stores))]
    await measure.run(measuring=measuring, others=others, seldom=[_sealing(stores)], locks=locks, stop=stop)


def _settling(stores: Stores, reached: Failpoint) -> settle.Settling:
    return settle.Settling(
        event_log=stores.events,
        positions=PostgresReaderPositions(stores.pool),
        store=stores.events,
        row_of=stores.read_models().dr_events.get,
        bus=stores.bus,
        clock=stores.clock,
        failing=FailingSubjects(stores.alerts(), stores.clock, alert=settle.ALERT, retry_s=settle.RETRY_S),
        confirm_clock=stores.clock_monitor.confirm,
        reached=reached,
    )


def _sealing(stores: Stores) -> sealing.Sealing:
    """What seals the readings of each local day."""

    def sites() -> list[sealing.SealedSite]:
        return [
            sealing.SealedSite(row.facility_id, row.locations, is_active=row.status != "deactivated")
            for row in facility_rows(stores)
        ]

    return sealing.Sealing(
        sites=sites,
        corrections=stores.rollups(),
        positions=PostgresReaderPositions(stores.pool),
        store=stores.events,
        sealer=DaySealer(stores.events, stores.telemetry(), stores.decision_clock),
        clock=stores.decision_clock,
        failing=FailingSubjects(stores.alerts(), stores.clock, alert=sealing.ALERT, retry_s=sealing.RETRY_S),
        confirm_clock=stores.clock_monitor.confirm,
    )
