"""The compute worker: records what each facility delivered, once a window is over and its readings have arrived.

During a window it also records which curtailments the meters confirm.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.spans import logged
from application.measurement.agreed_baseline import agreed_baseline
from application.measurement.baseline import RegressionInputs
from application.measurement.basis import MeasuringBasis, basis_of, look_back_days
from application.measurement.measure import (
    GIVE_UP_AFTER,
    Measurement,
    is_ready,
    measured_window,
    measurement_of,
    readings_window,
    verification_of,
)
from application.measurement.regression_source import RegressionSource, inputs_of
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.operations.alerts import AlertRegistry
from application.ports.public_holidays import PublicHolidays
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.errors import DomainError
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id
from domain.telemetry.intervals import interval_start
from domain.time_series.windows import IntervalSeries, TimeWindow
from interfaces.workers.loops.failing_deadlines import ALERT, FailingDeadlines
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import PUT_OFF, PeriodicCheck
from projections.deadlines import DeadlineKind, DeadlineRow

_log = structlog.get_logger(__name__)
LOCK = "measure"
POLL_S, LEAST_POLL_WALL_S = 15.0, 1.0
SELDOM_WALL_S = 5.0
"""At least, for passes whose results are due by the day."""
LONGEST_WINDOW = timedelta(days=1)
KINDS: tuple[DeadlineKind, ...] = ("measure", "end")
"""The deadlines that are read: others, however many are due, take no place of theirs."""
FACILITIES_AT_ONCE = 50
TEMPERATURES_EVERY = timedelta(minutes=15)
"""How often what waits for temperatures is tried again, for up to three days."""


@dataclass
class Measuring:
    """Measures dispatches whose window is over, and verifies those whose window runs.

    Everything is derived from recorded state: a restart loses nothing, and a repetition records nothing. `due(now)`
    returns the deadlines of the read model up to a moment.
    """

    due: Callable[[datetime], Sequence[DeadlineRow]]
    store: EventStore
    telemetry: TelemetryStore
    bus: CommandBus
    clock: Clock
    alerts: AlertRegistry
    public_holidays: PublicHolidays
    regression: RegressionSource | None = None
    """None: baselines by regression are not measurable."""
    _verified_until: dict[UUID, datetime] = field(default_factory=dict)
    """Dispatch -> the end of the last quarter-hour whose readings were evaluated."""
    _waits_until: dict[UUID, datetime] = field(default_factory=dict)
    """Dispatch that waits for temperatures -> when it is tried again."""

    def pass_once(self) -> int:
        """Measure what is due and verify what runs; returns the number of commands.

        Raises EventStoreUnavailable, TelemetryStoreUnavailable or ReadModelsUnavailable.
        """
        now = self.clock.now()
        deadlines = self.due(now + LONGEST_WINDOW)
        over = [one for one in deadlines if one.kind == "measure" and one.due_at <= now]
        given = sum(self._isolated(self._measure, one, now) for one in self._failing.to_try(over))
        running = [one for one in deadlines if one.kind == "end" and one.due_at > now]
        return given + sum(self._isolated(self._verify, one, now) for one in running)

    def reset(self) -> None:
        self._failing.reset()

    @cached_property
    def _failing(self) -> FailingDeadlines:
        return FailingDeadlines(self.alerts, self.clock, {"measure"})

    def _isolated(
        self, act: Callable[[DeadlineRow, datetime], int], deadline: DeadlineRow, now: datetime
    ) -> int:
        """Act on one deadline. An error that does not say that a server is away concerns only this one."""
        with logged(deadline.trace_id, dr_event=deadline.dr_event_id):
            return self._acted(act, deadline, now)

    def _acted(
        self, act: Callable[[DeadlineRow, datetime], int], deadline: DeadlineRow, now: datetime
    ) -> int:
        try:
            given = act(deadline, now)
        except PUT_OFF:
            raise
        except Exception as error:  # noqa: BLE001 - it must not stop the measurement of other DR events
            if deadline.kind != "measure":  # its DR event is measured in the end anyway
                _log.exception("a dispatch could not be verified", dr_event=str(deadline.dr_event_id))
                return 0
            self._failing.failed(deadline, error)
            return 0
        self._failing.succeeded(deadline)
        return given

    def _measure(self, deadline: DeadlineRow, now: datetime) -> int:
        dr_event, dispatches = self._dispatches(deadline.dr_event_id)
        self._waits_until = {key: at for key, at in self._waits_until.items() if at > now}
        open_ones = [
            state
            for state in dispatches
            if state.was_committed and not state.measured and _key(state) not in self._waits_until
        ]
        newest = self.telemetry.newest_readings_at([state.facility_id for state in open_ones])
        ready = [state for state in open_ones if is_ready(now, state.ends_at, newest.get(state.facility_id))]
        return self._give(self._measurements(dr_event, ready, now), deadline)

    def _measurements(
        self, dr_event: DREvent, ready: Sequence[DispatchState], now: datetime
    ) -> Iterator[Measurement | None]:
        for state, metered, basis, inputs in self._with_readings(dr_event, ready, until=None):
            found = measurement_of(state, metered, basis, now=now, inputs=inputs)
            if found is None and now >= state.ends_at + GIVE_UP_AFTER:  # readings are not waited for any more
                self._waits_until[_key(state)] = now + TEMPERATURES_EVERY
            yield found

    def _verify(self, deadline: DeadlineRow, now: datetime) -> int:
        """Verify, once in each quarter-hour of the window, the dispatches that the meter has not confirmed yet."""
        until = interval_start(now)
        if deadline.starts_at is None or measured_window(deadline.starts_at, until) is None:
            return 0
        dr_event, dispatches = self._dispatches(deadline.dr_event_id)
        unconfirmed = [
            state
            for state in dispatches
            if state.status in {"committed", "verified_by_bms"}
            and self._verified_until.get(_key(state)) != until
        ]
        newest = self.telemetry.newest_readings_at([state.facility_id for state in unconfirmed])
        reported = [s for s in unconfirmed if (at := newest.get(s.facility_id)) is not None and at >= until]
        self._verified_until = {
            key: at for key, at in self._verified_until.items() if at > now - LONGEST_WINDOW
        }
        self._verified_until |= {_key(state): until for state in reported}
        commands = (
            verification_of(state, metered, basis, until=until, inputs=inputs)
            for state, metered, basis, inputs in self._with_readings(dr_event, reported, until=until)
        )
        return self._give(commands, deadline)

    def _dispatches(self, dr_event_id: UUID) -> tuple[DREvent, list[DispatchState]]:
        dr_event = self.store.load(DREvent, dr_event_id)
        states = []
        for facility_id in dr_event.state.dispatched:
            with suppress(StreamNotFound):  # a share too small for a command has no dispatch
                states.append(self.store.load(Dispatch, dispatch_id(dr_event_id, facility_id)).state)
        return dr_event, states

    def _with_readings(
        self, dr_event: DREvent, states: Sequence[DispatchState], *, until: datetime | None
    ) -> Iterable[tuple[DispatchState, IntervalSeries, MeasuringBasis, RegressionInputs | None]]:
        """The dispatches with the quarter-hours of their meters, read for FACILITIES_AT_ONCE at a time. `until` is the
        end of a verification, which uses the temperatures that are known so far."""
        if not states:
            return
        agreed = agreed_baseline(self.store, dr_event)
        back = look_back_days(agreed.method, agreed.parameters)
        for start in range(0, len(states), FACILITIES_AT_ONCE):
            block_states = states[start : start + FACILITIES_AT_ONCE]
            window = _window_of(block_states, until)
            ids = [state.facility_id for state in block_states]
            block = self.telemetry.interval_series_of(ids, readings_window(window, back))
            for state in block_states:
                facility = self.store.load(Facility, facility_stream_id(state.facility_id))
                basis = basis_of(facility.state, agreed, state, self.public_holidays)
                inputs = inputs_of(self.regression, basis, block, facility.state, final_only=until is None)
                yield state, block.series(state.facility_id), basis, inputs

    def _give(self, commands: Iterable[msgspec.Struct | None], deadline: DeadlineRow) -> int:
        context = CommandContext(
            correlation_id=deadline.correlation_id,
            causation_id=deadline.caused_by,
            actor="worker:compute",
            tenant=deadline.tenant,
            trace_id=deadline.trace_id,
        )
        given = 0
        for command in commands:
            if command is None:
                continue
            try:
                self.bus.handle(command, context)
                given += 1
            except DomainError as error:
                _log.warning("measurement refused", command=type(command).__name__, error=str(error))
        return given


def _key(state: DispatchState) -> UUID:
    return dispatch_id(state.dr_event_id, state.facility_id)


def _window_of(states: Sequence[DispatchState], until: datetime | None) -> TimeWindow:
    """The whole quarter-hours around the windows: readable also where no whole quarter-hour lies inside a window."""
    starts_at = interval_start(min(state.starts_at for state in states))
    ends_at = until or max(state.ends_at for state in states)
    last = interval_start(ends_at)
    return TimeWindow(starts_at, max(last, starts_at + timedelta(minutes=15)))


class MeasurementPass(Protocol):
    """Work that is repeated; `pass_once` returns the number of commands. `reset` is called when this process takes the
    lock: another one worked meanwhile."""

    def pass_once(self) -> int: ...

    def reset(self) -> None: ...


_PacedPass = tuple[MeasurementPass, float]
"""A pass, and the shortest time between two, in wall seconds."""


async def run(
    *,
    measuring: Measuring,
    locks: Locks,
    stop: asyncio.Event,
    others: Sequence[MeasurementPass] = (),
    seldom: Sequence[MeasurementPass] = (),
) -> None:
    """Run until `stop`. Of several workers one is active. `others` run beside the measuring of what is due, and
    `seldom` too, at least SELDOM_WALL_S apart."""
    passes: list[_PacedPass] = [(one, LEAST_POLL_WALL_S) for one in (measuring, *others)]
    passes += [(one, SELDOM_WALL_S) for one in seldom]
    await run_as_leader(locks, LOCK, lambda: _measure(measuring, passes, stop), stop=stop)


async def _measure(measuring: Measuring, passes: Sequence[_PacedPass], stop: asyncio.Event) -> None:
    """Run the passes concurrently: thousands of corrections do not delay the measurements that are due."""
    async with asyncio.TaskGroup() as tasks:
        for one, least_s in passes:
            every_s = max(measuring.clock.wall_seconds(POLL_S), least_s)
            name = type(one).__name__.lower()
            isolated = partial(asyncio.to_thread, _isolated_pass, one, measuring)
            tasks.create_task(PeriodicCheck(name, isolated, every_s=every_s, reset=one.reset).run(stop))


def _isolated_pass(one: MeasurementPass, measuring: Measuring) -> None:
    """A pass that fails is repeated, with an alert. It skips nothing, and the other pass goes on."""
    name, stated = type(one).__name__, dict[str, str]()
    try:
        given = one.pass_once()
    except PUT_OFF:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other pass
        _log.exception("a pass failed", by=name)
        stated[f"pass/{name.lower()}"] = f"{type(error).__name__}: {error}"[:1_000]
    else:
        if given:
            _log.info("measured", commands=given, by=name)
    measuring.alerts.state(ALERT, stated, observer=f"pass/{name.lower()}", at=measuring.clock.now())
