"""An import is taken back facility by facility: recorded first, and completed after an interruption."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from application.history_import.taking_back import (
    TakeBackRefused,
    TakeBackReport,
    find_import,
    state_of,
    take_back,
)
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.telemetry.imported_history import ImportSpan, NewImport, RowsTakenBack
from application.ports.telemetry.store import ImportedIntervals
from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
from domain.administration import AdministrativeAct
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import HistorySeals, history_seals_id
from domain.time_series.windows import TimeWindow
from projections.audit.act_descriptions import act_text
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.operations.act_log import FakeActLog
from tests.fakes.telemetry.imported_history import FakeImportedHistory
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.sample_values import NOW, provenance

IMPORT = UUID(int=0xABCDEF0123456789)
FACILITIES = ("a", "b", "stranger")
FIRST = (NOW - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = 2
ROWS = 96 * DAYS
NAN = float("nan")


class System:
    """A system into which two days of three facilities were imported; the portfolio does not have the last one."""

    def __init__(self) -> None:
        self.store, self.acts, self.events = FakeTelemetryStore(), FakeActLog(), FakeEventStore()
        self.rollups = FakeTelemetryRollups(self.store, FakeClock(NOW))
        self.imports = FakeImportedHistory(self.store, self.rollups)
        self.sealed: list[str] = []
        self.on_seal: Callable[[ImportSpan], object] = lambda span: self.sealed.append(span.facility_id)
        self.imports.begin(
            NewImport(
                import_id=IMPORT,
                begun_at=NOW,
                begun_by="operator:cli/1",
                file_sha256="f" * 64,
                spans=tuple(
                    ImportSpan(
                        facility_id=one,
                        step_s=900,
                        starts_at=FIRST,
                        ends_at=FIRST + timedelta(days=DAYS),
                        rows=ROWS,
                    )
                    for one in FACILITIES
                ),
            )
        )
        for one in FACILITIES:
            self.put(one, IMPORT)

    def put(
        self, facility_id: str, import_id: UUID | None, kw: float = 10.0, starts_at: datetime = FIRST
    ) -> None:
        first_s = int(starts_at.timestamp())
        self.store.import_intervals(
            ImportedIntervals(
                (facility_id,),
                np.zeros(ROWS, dtype=np.int64),
                first_s + 900 * np.arange(ROWS),
                np.full(ROWS, 900),
                np.full(ROWS, kw),
                np.full(ROWS, NAN),
            ),
            import_id,
        )

    def take_back(self, *, at: datetime = NOW, reason: str = "another year") -> TakeBackReport:
        return take_back(
            self.imports,
            self.acts,
            provenance(at),
            find_import(self.imports, str(IMPORT)[:8]),
            reason=reason,
            portfolio={"a", "b"},
            seal=self.on_seal,
        )

    @property
    def state(self) -> str:
        return state_of(find_import(self.imports, str(IMPORT)))

    def left(self) -> set[str]:
        return {facility_id for facility_id, *_ in self.store.imported}


def test_everything_of_an_import_is_removed_and_the_act_is_recorded_once() -> None:
    system = System()
    assert system.state == "not complete"
    report = system.take_back()
    assert (report.rows, report.failed, report.total) == (
        3 * ROWS,
        (),
        RowsTakenBack(removed=3 * ROWS, corrected=2 * ROWS),
    )
    assert (system.left(), system.sealed, system.state) == (set(), list(FACILITIES), "taken back")
    assert {one.facility_id for one in system.rollups.corrections} == {"a", "b"}, (
        "the stranger was never measured"
    )
    [act] = system.acts.recorded.values()
    assert isinstance(act, AdministrativeAct.HistoryImportTakenBack)
    assert act_text(act) == f"import {IMPORT} of history taken back: 576 rows of 3 facilities: a, b, stranger"

    again = system.take_back(at=NOW + timedelta(hours=1), reason="once more")
    assert (again.facilities, len(system.acts.recorded), len(system.sealed)) == ((), 1, 3)
    assert find_import(system.imports, str(IMPORT)).reason == "another year"


@pytest.mark.parametrize("dies_at", FACILITIES)
@pytest.mark.parametrize("death", [KeyboardInterrupt, EventStoreUnavailable])
def test_what_was_interrupted_is_completed_by_the_same_again(
    dies_at: str, death: type[BaseException]
) -> None:
    system = System()

    def dying(span: ImportSpan) -> None:
        if span.facility_id == dies_at:
            raise death("away")
        system.sealed.append(span.facility_id)

    system.on_seal = dying
    with pytest.raises(death):
        system.take_back()
    assert system.state == "partly taken back"
    assert dies_at not in system.left()
    system.on_seal = lambda span: system.sealed.append(span.facility_id)
    report = system.take_back(at=NOW + timedelta(minutes=1))
    assert [one.facility_id for one in report.facilities] == list(FACILITIES[FACILITIES.index(dies_at) :])
    assert (system.left(), system.sealed, system.state) == (set(), list(FACILITIES), "taken back")
    assert len(system.rollups.corrections) == 2 * ROWS, "each correction once"


def test_a_facility_that_fails_strands_none_of_the_others() -> None:
    system = System()

    def failing(span: ImportSpan) -> None:
        if span.facility_id == "a":
            raise ValueError("its stream is broken")

    system.on_seal = failing
    report = system.take_back()
    assert [(one.facility_id, one.failure) for one in report.failed] == [("a", "its stream is broken")]
    assert (system.left(), system.state) == (set(), "partly taken back")
    system.on_seal = lambda _span: None
    assert [one.facility_id for one in system.take_back().facilities] == ["a"]
    assert system.state == "taken back"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": "  "}, TakeBackRefused),
        ({"reason": "r" * 1_001}, TakeBackRefused),
    ],
)
def test_a_refused_take_back_changes_nothing(change: dict[str, Any], error: type[Exception]) -> None:
    system = System()
    with pytest.raises(error):
        system.take_back(**change)
    assert (system.left(), system.acts.recorded, system.state) == (set(FACILITIES), {}, "not complete")


def test_an_import_is_named_by_the_prefix_of_its_id() -> None:
    system = System()
    assert find_import(system.imports, str(IMPORT)[:8].upper()).import_id == IMPORT
    with pytest.raises(TakeBackRefused, match="at least 8 characters"):
        find_import(system.imports, "0000")
    with pytest.raises(TakeBackRefused, match=r"no import begins with ffffffff; see .* imports list"):
        find_import(system.imports, "ffffffff")
    for number in (1, 2):
        span = system.imports.spans(IMPORT)[0]
        system.imports.begin(
            NewImport(import_id=UUID(int=number), begun_at=NOW, begun_by="x", file_sha256="", spans=(span,))
        )
    with pytest.raises(TakeBackRefused, match="several imports begin"):
        find_import(system.imports, "00000000")


def test_the_days_are_sealed_as_they_are_without_the_import_also_those_that_have_nothing_left() -> None:
    system = System()
    zones = {"a": "UTC", "b": "UTC"}
    sealer = HistorySealer(system.events, system.store)

    def seal(span: ImportSpan, *, is_taken_back: bool = True) -> None:
        of = ImportedSpan(span.facility_id, span.starts_at, span.ends_at, span.step_s, span.rows)
        sealer.seal([of], zones, provenance(NOW), is_taken_back=is_taken_back)

    system.put("b", None, kw=20.0, starts_at=FIRST + timedelta(days=1))  # stored by no recorded import
    for span in system.imports.spans(IMPORT):
        seal(span, is_taken_back=False)
    system.on_seal = seal
    system.take_back()
    for facility_id in zones:
        *_, last = (
            one
            for one in system.events.domain_events
            if isinstance(one, HistorySeals.Sealed) and one.facility_id == facility_id
        )
        assert last.is_taken_back
        block = system.store.interval_series_of(
            [facility_id], TimeWindow(FIRST, FIRST + timedelta(days=DAYS))
        )
        values = FacilityValues.of(block, facility_id)
        days = [TimeWindow(FIRST + timedelta(days=n), FIRST + timedelta(days=n + 1)) for n in range(DAYS)]
        assert last.days == tuple(day_digest(values.within(day)) for day in days)
        assert [day.known for day in last.days if day] == ([0, 96] if facility_id == "b" else [0, 0])
    assert history_seals_id("stranger") not in {one.originator_id for one in system.events.stored}
