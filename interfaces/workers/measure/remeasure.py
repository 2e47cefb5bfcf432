"""Remeasuring: measures DR events again when corrected or late readings arrive after their measurement.

Corrections are read in order. The position moves only after everything that follows from them is recorded. A
correction that is read twice yields the same figures, and then nothing is recorded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.measurement.agreed_baseline import agreed_baseline
from application.measurement.measure import (
    LOOK_BACK,
    basis_of,
    measured_window,
    readings_window,
    remeasurement_of,
)
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.telemetry.rollups import CorrectedInterval, TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import REMEASURED_FOR, Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.errors import DomainError
from domain.facility import Facility, FacilityState
from domain.identifiers import correction_cause_id, dispatch_id, facility_stream_id
from projections.dispatch.projection import DispatchRow, key_of
from projections.queries.views import ReadModelsUnavailable

_log = structlog.get_logger(__name__)
READER = "measure-again"
RIPE_AFTER = timedelta(minutes=5)
"""A gateway that was offline corrects one quarter-hour after the other. The delay lets them be measured together."""
MOST_CORRECTIONS, FACILITIES_AT_ONCE = 5_000, 200
MARGIN = timedelta(days=1)
"""The longest window, plus the longest delay of a start since the facility was reserved."""


@dataclass
class Remeasuring:
    """`row_of` returns the read model's row of a dispatch; it is read only for the origin of its DR event."""

    corrections: TelemetryRollups
    positions: ReaderPositions
    row_of: Callable[[str], DispatchRow | None]
    store: EventStore
    telemetry: TelemetryStore
    bus: CommandBus
    clock: Clock

    def pass_once(self) -> int:
        """Measure again what the next corrections concern; returns the number of commands.

        Raises EventStoreUnavailable, TelemetryStoreUnavailable or ReadModelsUnavailable.
        """
        now = self.clock.now()
        position = self.positions.position(READER)
        read = self.corrections.corrections_after(position, limit=MOST_CORRECTIONS)
        ripe = list(takewhile(lambda one: one.corrected_at <= now - RIPE_AFTER, read))
        if not ripe:
            return 0
        given = 0
        for facility, corrected in self._facilities(ripe):
            for dispatch in self._concerned(facility, corrected, now):
                given += self._measure_again(dispatch, facility, _newest_of(dispatch, corrected))
        self.positions.move(READER, ripe[-1].correction_id)
        return given

    def _facilities(
        self, corrections: Sequence[CorrectedInterval]
    ) -> Iterator[tuple[FacilityState, Sequence[CorrectedInterval]]]:
        """The facilities with their corrections. A facility that was never registered has served in no DR event."""
        by_stream: dict[UUID, list[CorrectedInterval]] = {}
        for one in corrections:
            by_stream.setdefault(facility_stream_id(one.facility_id), []).append(one)
        streams = list(by_stream)
        for start in range(0, len(streams), FACILITIES_AT_ONCE):
            loaded: Mapping[UUID, Facility] = self.store.load_many(
                Facility, streams[start : start + FACILITIES_AT_ONCE]
            )
            yield from ((facility.state, by_stream[stream]) for stream, facility in loaded.items())

    def _concerned(
        self, facility: FacilityState, corrected: Sequence[CorrectedInterval], now: datetime
    ) -> Iterator[DispatchState]:
        """The measured dispatches that are not final and whose measurement used one of the quarter-hours."""
        oldest, newest = min(c.starts_at for c in corrected), max(c.starts_at for c in corrected)
        for key, starts_at in facility.served.items():
            if not oldest - MARGIN <= starts_at <= newest + LOOK_BACK + MARGIN:
                continue
            try:
                stream = dispatch_id(UUID(key), facility.facility_id)
                dispatch = self.store.load(Dispatch, stream).state
            except StreamNotFound:  # a share too small for a command has no dispatch
                continue
            if not dispatch.measured or not dispatch.was_committed or _newest_of(dispatch, corrected) is None:
                continue
            if now > dispatch.ends_at + REMEASURED_FOR:
                _log.info("corrected too late to be measured again", dispatch=str(stream))
                continue
            yield dispatch

    def _measure_again(
        self, dispatch: DispatchState, facility: FacilityState, newest: CorrectedInterval | None
    ) -> int:
        window = measured_window(dispatch.starts_at, dispatch.ends_at)
        if window is None or newest is None:
            return 0
        method = agreed_baseline(self.store, self.store.load(DREvent, dispatch.dr_event_id))
        metered = self.telemetry.interval_series(dispatch.facility_id, readings_window(window))
        basis = basis_of(facility, method, dispatch.dr_event_id)
        command = remeasurement_of(dispatch, metered, basis, corrected_at=newest.corrected_at)
        try:
            self.bus.handle(command, self._context(dispatch, newest))
        except DomainError as error:
            _log.warning("measuring again refused", facility=dispatch.facility_id, error=str(error))
            return 0
        return 1

    def _context(self, dispatch: DispatchState, correction: CorrectedInterval) -> CommandContext:
        row = self.row_of(key_of(dispatch.dr_event_id, dispatch.facility_id))
        if row is None:
            raise ReadModelsUnavailable(f"the dispatch of {dispatch.facility_id} is not projected yet")
        return CommandContext(
            correlation_id=row.correlation_id,
            causation_id=correction_cause_id(correction.correction_id),
            actor="worker:measure",
            tenant=row.tenant,
            trace_id=row.trace_id,
        )


def _newest_of(dispatch: DispatchState, corrected: Sequence[CorrectedInterval]) -> CorrectedInterval | None:
    """The last correction of a quarter-hour that its measurement used; None: it used none of them."""
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return None
    used = readings_window(window)
    concerned = [one for one in corrected if used.starts_at <= one.starts_at < used.ends_at]
    return concerned[-1] if concerned else None
