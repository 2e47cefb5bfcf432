"""A year of one facility: its readings, DR events by every baseline method, and the worker that measures.

Los Angeles, 2026: clocks change on 8 March and 1 November. The command bus with its handlers, the aggregates,
`Measuring` and `Remeasuring` are real; the stores are fakes, unless a test gives others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from adapters.regression import StatsmodelsFitter
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import BaselineEntry
from application.handlers import HANDLERS
from application.measurement.correction_parking import CorrectionParking
from application.measurement.regression_source import RegressionSource
from application.ports.event_store.event_log import EventLog
from application.ports.event_store.event_store import EventStore
from application.ports.telemetry.rollups import CorrectedInterval
from application.ports.telemetry.store import ImportedIntervals, TelemetryStore
from domain.baseline import BaselineParameters
from domain.dispatch import Dispatch, MeasurementFigures
from domain.dr_event import DREvent
from domain.facility import Facility, Reservation
from domain.identifiers import facility_stream_id
from domain.time_series.windows import FloatArray, TimeWindow
from interfaces.workers.compute.measure import Measuring
from interfaces.workers.compute.remeasure import Remeasuring
from projections.deadlines import DeadlineRow
from projections.dispatch.changes import planned_row
from projections.dispatch.projection import DispatchRow, key_of
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.sample_values import (
    BMS,
    CONTEXT,
    TRACE,
    UTILITY,
    facility_entry,
    notice,
    program_entry,
    provenance,
    target,
)
from tests.stored_intervals import interval_series

FACILITY, REGION, TZ = "fac-001", "US-CA", ZoneInfo("America/Los_Angeles")
FIRST = datetime(2026, 1, 1, 8, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
QUARTERS = 365 * 96


class Contract(NamedTuple):
    """What a program says about the measurement, and what `baseline compute` takes for it."""

    method: str
    parameters: BaselineParameters = BaselineParameters()
    options: tuple[str, ...] = ()
    holidays: tuple[date, ...] | None = None
    clip_delivery: bool = False
    is_weekdays_only: bool = False


OWN_HOLIDAYS = (date(2026, 3, 31), date(2026, 6, 19), date(2026, 9, 9), date(2026, 11, 26))
CONTRACTS: dict[str, Contract] = {
    "caiso": Contract("caiso-10-in-10"),
    "pjm": Contract("high-4-of-5", is_weekdays_only=True),
    "nyiso": Contract("high-5-of-10", is_weekdays_only=True),
    "ercot": Contract("mid-8-of-10", is_weekdays_only=True),
    "own": Contract(
        "x-of-y",
        BaselineParameters(x=3, y=5, pick="low", adjustment="additive", cap=None, upward_only=True),
        ("--x", "3", "--y", "5", "--pick", "low", "--adjustment", "additive", "--no-cap", "--upward-only"),
        holidays=OWN_HOLIDAYS,
    ),
    "mid": Contract(
        "x-of-y",
        BaselineParameters(x=2, y=4, pick="mid", cap=0.1, adjustment_from_s=9_000, adjustment_until_s=1_800),
        (
            *("--x", "2", "--y", "4", "--pick", "mid", "--cap", "0.1", "--clip-delivery"),
            *("--adjustment-from-s", "9000", "--adjustment-until-s", "1800"),
        ),
        clip_delivery=True,
    ),
    "flat": Contract("x-of-y", BaselineParameters(adjustment="none"), ("--adjustment", "none")),
    "before": Contract(
        "meter-before-meter-after", BaselineParameters(before_s=5_400), ("--before-s", "5400")
    ),
    "firm": Contract("firm-service-level", BaselineParameters(level_kw=310.5), ("--level-kw", "310.5")),
    "towt": Contract("regression", BaselineParameters(lookback_days=35), ("--lookback-days", "35")),
}


class Served(NamedTuple):
    """A DR event of the facility."""

    dr_event_id: UUID
    program: str
    starts_at: datetime
    ends_at: datetime

    @property
    def measured(self) -> TimeWindow:
        """The whole quarter-hours inside."""
        first = _on_quarter(self.starts_at + QUARTER - timedelta.resolution)
        return TimeWindow(first, _on_quarter(self.ends_at))

    @property
    def day(self) -> date:
        return self.starts_at.astimezone(TZ).date()


class Store(EventStore, EventLog, Protocol):
    """Both sides of one store."""


class Corrections:
    def __init__(self) -> None:
        self.all: list[CorrectedInterval] = []

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        return [one for one in self.all if one.correction_id > correction_id][:limit]


class SimulatedYear:
    """`served` are the DR events in order; `opted_out` the local days of those that it left before their start."""

    def __init__(
        self, store: Store | None = None, telemetry: TelemetryStore | None = None, *, days: range = range(365)
    ) -> None:
        """On the given stores, else on fakes; with readings of those days of the year."""
        self.store, self.telemetry = store or FakeEventStore(), telemetry or FakeTelemetryStore()
        self.clock, self.calendar, self.corrections = FakeClock(FIRST), RegionalHolidays(), Corrections()
        self.bus = CommandBus(
            self.store, self.clock, HANDLERS, forecasts=FakeForecastBook(), public_holidays=self.calendar
        )
        self.random = np.random.default_rng(2026)
        self.served: list[Served] = []
        self.opted_out: list[date] = []
        self.deadlines: list[DeadlineRow] = []
        self.rows: dict[str, DispatchRow] = {}
        self._meter(days)
        entries = [
            program_entry(
                program_id=name,
                baseline=BaselineEntry(method=contract.method, parameters=contract.parameters),
                holidays=contract.holidays,
                clip_delivery=contract.clip_delivery,
            )
            for name, contract in CONTRACTS.items()
        ]
        facility = facility_entry(
            FACILITY, tz=TZ.key, region=REGION, programs=tuple(CONTRACTS), weather_cell="la"
        )
        for command in (*(AgreeProgram(entry=entry) for entry in entries), RegisterFacility(entry=facility)):
            self.bus.handle(command, CONTEXT)
        self.source = RegressionSource(StatsmodelsFitter(), FakeCellTemperatures())
        self.measuring = self._measuring()
        self.remeasuring = self._remeasuring()

    def holidays_of(self, program: str) -> frozenset[date]:
        own = CONTRACTS[program].holidays
        return frozenset(own) if own is not None else self.calendar.in_years(REGION, 2025, 2026)

    def serve(self, program: str, day: date, local: str, minutes: int, *, shed_kw: float) -> Served:
        """The facility takes part in a DR event, sheds load in it, and is measured half an hour later."""
        starts_at = datetime.combine(day, time.fromisoformat(local), TZ).astimezone(UTC)
        ends_at = starts_at + timedelta(minutes=minutes)
        begun = provenance(starts_at - timedelta(hours=1))
        dr_event, facility = self._accepted(program, starts_at, ends_at, begun)
        dispatch = Dispatch.plan(
            begun,
            dr_event_id=dr_event.id,
            facility_id=FACILITY,
            plan_revision=1,
            starts_at=starts_at,
            ends_at=ends_at,
            expires_at=ends_at + timedelta(minutes=30),
            target_kw=50.0,
            bms=BMS,
            zones=(),
            forecast_id=None,
            data_quality="full",
        )
        self.rows[key_of(dr_event.id, FACILITY)] = planned_row(cast("Any", dispatch.pending_events[0]))
        dispatch.record(Dispatch.Committed, provenance(starts_at))
        facility.release(provenance(ends_at), dr_event_id=dr_event.id, served=True)
        self.store.save([dr_event, dispatch, facility])
        self._shed(starts_at, ends_at, shed_kw)
        served = Served(dr_event.id, program, starts_at, ends_at)
        self.served.append(served)
        self.deadlines = [_deadline(served)]
        self.clock.moment = ends_at + timedelta(minutes=31)
        assert self.measuring.pass_once() == 1, (program, day)
        return served

    def opt_out(self, program: str, day: date) -> None:
        """The facility is asked for a DR event on that day, and opts out of it in the morning."""
        starts_at = datetime.combine(day, time(14), TZ).astimezone(UTC)
        begun = provenance(starts_at - timedelta(hours=6))
        dr_event, facility = self._accepted(program, starts_at, starts_at + timedelta(hours=2), begun)
        facility.opt_out(begun, dr_event_id=dr_event.id, reason="an exam")
        self.store.save([dr_event, facility])
        self.opted_out.append(day)

    def correct(self, at: datetime, *quarters: datetime) -> int:
        """Readings of those quarter-hours change; returns how many dispatches were looked at again."""
        for starts_at in quarters:
            new_kw = float(self.random.uniform(250, 420))
            self._store([starts_at], [new_kw])
            self.corrections.all.append(
                CorrectedInterval(
                    correction_id=len(self.corrections.all) + 1,
                    facility_id=FACILITY,
                    starts_at=starts_at,
                    old_mean_kw=None,
                    new_mean_kw=new_kw,
                    old_kwh=None,
                    new_kwh=None,
                    corrected_at=at,
                )
            )
        self.clock.moment = at + timedelta(minutes=6)
        return self.remeasuring.pass_once()

    def facts_after(self, position: int) -> list[tuple[Served, MeasurementFigures]]:
        """What was recorded as measured after that position."""
        by_id = {one.dr_event_id: one for one in self.served}
        entries = self.store.read_after(position, 10_000)
        return [
            (by_id[fact.dr_event_id], fact.figures)
            for fact in (entry.domain_event for entry in entries)
            if isinstance(fact, Dispatch.Measured | Dispatch.Remeasured)
        ]

    def _accepted(
        self, program: str, starts_at: datetime, ends_at: datetime, at: Any
    ) -> tuple[DREvent, Facility]:
        number = len(self.served) + len(self.opted_out)
        dr_event = DREvent.open(at, utility_id=UTILITY, utility_event_id=f"U-{number}")
        dr_event.accept(
            at,
            notice=notice(program_id=program, facility_ids=(FACILITY,), starts_at=starts_at, ends_at=ends_at),
            program_version=1,
            capacity_kw=100.0,
            capacity_source="forecast",
            shortfall_kw=0.0,
        )
        dr_event.schedule(at, prepare_at=starts_at, targets=(target(FACILITY),), missing_kw=0.0)
        facility = self.store.load(Facility, facility_stream_id(FACILITY))
        facility.reserve(
            at,
            Reservation(
                dr_event_id=dr_event.id, starts_at=starts_at, ends_at=ends_at, prepared_from=starts_at
            ),
        )
        return dr_event, facility

    def _meter(self, days: range) -> None:
        """An office by local time and temperature, with noise, and some readings missing."""
        starts = [FIRST + QUARTER * n for n in range(QUARTERS)]
        local = [at.astimezone(TZ) for at in starts]
        hour = np.array([at.hour + at.minute / 60 for at in local])
        working = np.array([at.weekday() < 5 for at in local])
        day = np.arange(QUARTERS) / 96
        temp_c = 18 + 9 * np.sin((day - 105) / 365 * 2 * np.pi) + 6 * np.sin((hour - 9) / 24 * 2 * np.pi)
        temp_c += np.repeat(self.random.normal(0, 2, QUARTERS // 96), 96)
        open_hours = working & (hour >= 7) & (hour < 19)
        load_kw = np.where(open_hours, 300 + 6 * np.maximum(temp_c - 16, 0), 130) + self.random.normal(
            0, 7, QUARTERS
        )
        load_kw[self.random.random(QUARTERS) < 0.002] = np.nan
        load_kw[96 * 200 : 96 * 200 + 60] = np.nan
        kept = slice(days.start * 96, days.stop * 96)
        self._store(starts[kept], load_kw[kept], temp_c[kept])

    def _shed(self, starts_at: datetime, ends_at: datetime, shed_kw: float) -> None:
        first = _on_quarter(starts_at)
        window = TimeWindow(first, _on_quarter(ends_at + QUARTER - timedelta.resolution))
        load = interval_series(self.telemetry, FACILITY, window)
        self._store(load.starts(window), load.values - shed_kw)

    def _store(
        self, starts: Sequence[datetime], kw: Sequence[float] | FloatArray, temp_c: FloatArray | None = None
    ) -> None:
        count = len(starts)
        self.telemetry.import_intervals(
            ImportedIntervals(
                (FACILITY,),
                np.zeros(count, dtype=np.int64),
                np.array([int(at.timestamp()) for at in starts], dtype=np.int64),
                np.full(count, 900, dtype=np.int64),
                np.asarray(kw, dtype=np.float64),
                np.full(count, np.nan) if temp_c is None else temp_c,
            )
        )

    def _measuring(self) -> Measuring:
        return Measuring(
            due=lambda now: self.deadlines,
            store=self.store,
            telemetry=self.telemetry,
            bus=self.bus,
            clock=self.clock,
            alerts=FakeAlertRegistry(),
            public_holidays=self.calendar,
            regression=self.source,
        )

    def _remeasuring(self) -> Remeasuring:
        return Remeasuring(
            corrections=cast("Any", self.corrections),
            positions=FakeReaderPositions(),
            row_of=self.rows.get,
            store=self.store,
            telemetry=self.telemetry,
            bus=self.bus,
            clock=self.clock,
            parking=CorrectionParking(FakeDeadLetters(), self.clock),
            public_holidays=self.calendar,
            regression=self.source,
        )


def _on_quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def _deadline(served: Served) -> DeadlineRow:
    return DeadlineRow(
        kind="measure",
        stream_id=served.dr_event_id,
        due_at=served.ends_at,
        dr_event_id=served.dr_event_id,
        facility_id=None,
        starts_at=served.starts_at,
        ends_at=served.ends_at,
        caused_by=CONTEXT.causation_id,
        correlation_id=CONTEXT.correlation_id,
        trace_id=TRACE,
        tenant=UTILITY,
    )
