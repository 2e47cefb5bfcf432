"""Remeasuring: measures DR events again when corrected or late readings arrive after their measurement.

Corrections are read in order. The position moves only after everything that follows from them is recorded or parked. A
correction that is read twice yields the same figures, and then nothing is recorded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import takewhile
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.retry import MAX_TRIES
from application.command_bus.spans import logged
from application.event_store.event_mapper import UnknownTopic
from application.measurement.agreed_baseline import agreed_baseline
from application.measurement.basis import LONGEST_LOOK_BACK, basis_of, look_back_days
from application.measurement.correction_parking import CorrectionParking, FacilityCorrections
from application.measurement.measure import measured_window, readings_window, remeasurement_of
from application.measurement.regression_source import RegressionSource, inputs_of
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.public_holidays import PublicHolidays
from application.ports.telemetry.rollups import CorrectedInterval, TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from domain.dispatch import REMEASURED_FOR, Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.errors import DomainError
from domain.facility import Facility, FacilityState
from domain.identifiers import correction_cause_id, dispatch_id, facility_stream_id
from domain.time_series.windows import TimeWindow
from interfaces.workers.loops.periodic import PUT_OFF
from projections.dispatch.projection import DispatchRow, key_of
from projections.queries.views import ReadModelsUnavailable

_log = structlog.get_logger(__name__)
LoadFacility = Callable[[], Facility | None]
READER = "measure-again"
RIPE_AFTER = timedelta(minutes=5)
"""A gateway that was offline corrects one quarter-hour after the other. The delay lets them be measured together."""
MOST_CORRECTIONS, FACILITIES_AT_ONCE = 5_000, 200
NOT_PARKED: tuple[type[Exception], ...] = (*PUT_OFF, UnknownTopic)
"""The error of a server that is away, or of what a newer process can read: it concerns all corrections."""
MARGIN = timedelta(days=1)
"""The longest window, plus the longest delay of a start since the facility was reserved."""


@dataclass
class Remeasuring:
    """`row_of` returns the read model's row of a dispatch; it is read only for the origin of its DR event.

    `clock` raises ClockSkewed while it is wrong: a correction that came too late by it is passed over for good.
    """

    corrections: TelemetryRollups
    positions: ReaderPositions
    row_of: Callable[[str], DispatchRow | None]
    store: EventStore
    telemetry: TelemetryStore
    bus: CommandBus
    clock: Clock
    parking: CorrectionParking
    public_holidays: PublicHolidays
    regression: RegressionSource | None = None
    """None: baselines by regression are not measurable."""
    _failed: dict[str, int] = field(default_factory=dict)
    """Facility -> how often its part of the next corrections failed."""
    _until: int | None = None
    """The last of those corrections: none is added while some of them fail, so that what is parked stays the same."""

    def reset(self) -> None:
        self._failed, self._until = {}, None

    def pass_once(self) -> int:
        """Measure again what the next corrections concern; returns the number of commands.

        Raises ClockSkewed, EventStoreUnavailable, TelemetryStoreUnavailable, ReadModelsUnavailable,
        OperationsUnavailable, or UnknownTopic, which a newer process can read.
        """
        position = self.positions.position(READER)
        ripe = self._ripe(self.corrections.corrections_after(position, limit=MOST_CORRECTIONS))
        if not ripe:
            self._failed, self._until = {}, None
            return 0
        given = 0
        for corrected, load in self._by_facility(ripe):
            given += self._tried(corrected, load)
        if any(tries < MAX_TRIES for tries in self._failed.values()):
            self._until = ripe[-1].correction_id
            return given
        self._failed, self._until = {}, None
        self.positions.move(READER, ripe[-1].correction_id)
        return given

    def measure_parked(self, corrections: FacilityCorrections) -> int:
        """Measure again what parked corrections concern; returns the number of commands. Raises LookupError if they
        are no longer stored, and what `pass_once` raises, and whatever makes it fail."""
        read = self.corrections.corrections_after(corrections.first - 1, limit=MOST_CORRECTIONS)
        corrected = [
            one
            for one in read
            if one.facility_id == corrections.facility_id and one.correction_id <= corrections.last
        ]
        if not corrected:
            raise LookupError("these corrections are no longer stored")
        ((of_facility, load),) = self._by_facility(corrected)
        return self._of_facility(of_facility, load)

    def _ripe(self, read: Sequence[CorrectedInterval]) -> list[CorrectedInterval]:
        """Those that have waited long enough; while some of them fail, no further ones."""
        until = self.clock.now() - RIPE_AFTER
        return [
            one
            for one in takewhile(lambda one: one.corrected_at <= until, read)
            if self._until is None or one.correction_id <= self._until
        ]

    def _tried(self, corrected: Sequence[CorrectedInterval], load: LoadFacility) -> int:
        """The number of commands. An error that says nothing of a server concerns only this facility: after MAX_TRIES
        passes its corrections are parked."""
        corrections = FacilityCorrections.of(corrected)
        try:
            given = self._of_facility(corrected, load)
        except NOT_PARKED:
            raise
        except Exception as error:  # noqa: BLE001 - it must not stop the corrections of other facilities
            tries = self._failed.get(corrections.facility_id, 0) + 1
            self._failed[corrections.facility_id] = tries
            if tries >= MAX_TRIES:
                self.parking.park(corrections, error)
            else:
                _log.warning("measuring again failed", facility=corrections.facility_id, exc_info=error)
            return 0
        self._failed.pop(corrections.facility_id, None)
        return given

    def _by_facility(
        self, corrections: Sequence[CorrectedInterval]
    ) -> Iterator[tuple[Sequence[CorrectedInterval], LoadFacility]]:
        """The corrections of each facility, and what loads it (None: it was never registered)."""
        by_stream: dict[UUID, list[CorrectedInterval]] = {}
        for one in corrections:
            by_stream.setdefault(facility_stream_id(one.facility_id), []).append(one)
        streams = list(by_stream)
        for start in range(0, len(streams), FACILITIES_AT_ONCE):
            block = streams[start : start + FACILITIES_AT_ONCE]
            load = self._loaded(block)
            yield from ((by_stream[stream], partial(load, stream)) for stream in block)

    def _loaded(self, streams: Sequence[UUID]) -> Callable[[UUID], Facility | None]:
        """Loads one of those facilities. They are loaded together, unless one of them cannot be."""
        try:
            return self.store.load_many(Facility, streams).get
        except NOT_PARKED:
            raise
        except Exception:  # noqa: BLE001 - then each is loaded by itself, to see which
            return self._load

    def _load(self, stream: UUID) -> Facility | None:
        with suppress(StreamNotFound):
            return self.store.load(Facility, stream)
        return None

    def _of_facility(self, corrected: Sequence[CorrectedInterval], load: LoadFacility) -> int:
        """Measure each dispatch of the facility again that is concerned. Raises the last error after all of them."""
        facility = load()
        if facility is None:  # it has served in no DR event
            return 0
        given, failed = 0, None
        oldest, newest = min(c.starts_at for c in corrected), max(c.starts_at for c in corrected)
        # What began before is final, however far a baseline looks back: its streams are not loaded.
        first = max(oldest, self.clock.now() - REMEASURED_FOR) - MARGIN
        for key, starts_at in facility.state.served.items():
            if not first <= starts_at <= newest + LONGEST_LOOK_BACK + MARGIN:
                continue
            try:
                with logged(None, dr_event=UUID(key), facility=facility.state.facility_id):
                    given += self._measure_again(UUID(key), facility.state, corrected)
            except NOT_PARKED:
                raise
            except Exception as error:  # noqa: BLE001 - the others do not depend on it
                failed = error
        if failed is not None:
            raise failed
        return given

    def _measure_again(
        self, dr_event_id: UUID, facility: FacilityState, corrected: Sequence[CorrectedInterval]
    ) -> int:
        """Of a measured dispatch that is not final and whose measurement used one of the quarter-hours."""
        stream = dispatch_id(dr_event_id, facility.facility_id)
        try:
            dispatch = self.store.load(Dispatch, stream).state
        except StreamNotFound:  # a share too small for a command has no dispatch
            return 0
        window = measured_window(dispatch.starts_at, dispatch.ends_at)
        if not dispatch.measured or not dispatch.was_committed or window is None:
            return 0
        agreed = agreed_baseline(self.store, self.store.load(DREvent, dr_event_id))
        used = readings_window(window, look_back_days(agreed.method, agreed.parameters))
        if (newest := _newest_in(used, corrected)) is None:
            return 0
        if self.clock.now() > dispatch.ends_at + REMEASURED_FOR:
            _log.info("corrected too late to be measured again", dispatch=str(stream))
            return 0
        block = self.telemetry.interval_series_of([dispatch.facility_id], used)
        basis = basis_of(facility, agreed, dispatch, self.public_holidays)
        command = remeasurement_of(
            dispatch,
            block.series(dispatch.facility_id),
            basis,
            corrected_at=newest.corrected_at,
            inputs=inputs_of(self.regression, basis, block, facility),
        )
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
            actor="worker:compute",
            tenant=row.tenant,
            trace_id=row.trace_id,
        )


def _newest_in(used: TimeWindow, corrected: Sequence[CorrectedInterval]) -> CorrectedInterval | None:
    """The last correction of a quarter-hour that a measurement used; None: it used none of them."""
    concerned = [one for one in corrected if used.starts_at <= one.starts_at < used.ends_at]
    return concerned[-1] if concerned else None
