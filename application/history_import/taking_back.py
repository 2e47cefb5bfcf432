"""Taking back an import of history, as a correction: its rows leave the series, and what was computed from them
follows.

The act is recorded first, and from then on the store accepts no further row of the import. Each facility is then done
by itself: its rows, with the corrections that measurements and sealed days follow, and the seals of the days that it
touched. What was interrupted is completed by the next take-back of the same import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import msgspec

from application.command_bus.retry import TRANSIENT
from application.event_store.event_mapper import UnknownTopic
from application.measurement.basis import CORRECTED_FOR
from application.ports.operations.act_log import ActLog
from application.ports.telemetry.imported_history import (
    ImportedHistory,
    ImportSpan,
    RecordedImport,
    RowsTakenBack,
)
from application.ports.telemetry.stored_meters import RemovalNotSupported
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance

MAX_REASON = 1_000
LEAST_PREFIX = 8
"""Characters of an id that are enough to name an import."""
_CONCERNS_ALL: tuple[type[Exception], ...] = (*TRANSIENT, UnknownTopic, RemovalNotSupported)
Seal = Callable[[ImportSpan], object]
"""Seals the days that the import touched, as they are without it."""


class TakeBackRefused(ValueError):
    """The import is not taken back. The text says why."""


class FacilityTakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one facility after an import was taken back."""

    facility_id: str
    rows: RowsTakenBack
    failure: str | None = None
    """Why it is not done; None: it is."""


class TakeBackReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of taking an import back. Facilities that were done before are left out."""

    import_id: str
    rows: int
    """That the file had."""
    facilities: tuple[FacilityTakenBack, ...]

    @property
    def total(self) -> RowsTakenBack:
        return sum((one.rows for one in self.facilities), RowsTakenBack())

    @property
    def failed(self) -> tuple[FacilityTakenBack, ...]:
        return tuple(one for one in self.facilities if one.failure is not None)


def find_import(imports: ImportedHistory, id_prefix: str) -> RecordedImport:
    """The import whose id begins like this. Raises TakeBackRefused for none and for several."""
    if len(id_prefix) < LEAST_PREFIX:
        raise TakeBackRefused(f"give at least {LEAST_PREFIX} characters of the import's id")
    found = imports.find(id_prefix)
    if len(found) == 1:
        return found[0]
    problem = "several imports begin" if found else "no import begins"
    raise TakeBackRefused(f"{problem} with {id_prefix}; see `gridproof telemetry imports list`")


def take_back(
    imports: ImportedHistory,
    acts: ActLog,
    provenance: Provenance,
    recorded: RecordedImport,
    *,
    reason: str,
    portfolio: Collection[str],
    seal: Seal,
) -> TakeBackReport:
    """Record the act, then do each facility that is left. Repeating it after an interruption does the rest.

    `portfolio` are the facilities that can have been measured. An error of one facility stops none of the others, and
    is in the report. Raises TakeBackRefused, RemovalNotSupported, or that a store is unavailable.
    """
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise TakeBackRefused(f"a reason has 1 to {MAX_REASON} characters")
    spans = imports.spans(recorded.import_id)
    act = AdministrativeAct.take_history_import_back(
        provenance,
        import_id=recorded.import_id,
        facility_ids=[span.facility_id for span in spans],
        rows=recorded.rows,
    )
    acts.record([act])
    at = provenance.recorded_at
    imports.mark_taken_back(recorded.import_id, by=provenance.actor, reason=reason.strip(), at=at)
    done = [
        _facility(imports, recorded, span, seal=seal, is_known=span.facility_id in portfolio, at=at)
        for span in spans
        if span.taken_back_at is None
    ]
    return TakeBackReport(import_id=str(recorded.import_id), rows=recorded.rows, facilities=tuple(done))


def _facility(
    imports: ImportedHistory,
    recorded: RecordedImport,
    span: ImportSpan,
    *,
    seal: Seal,
    is_known: bool,
    at: datetime,
) -> FacilityTakenBack:
    corrected_from = at - CORRECTED_FOR if is_known else None
    rows = RowsTakenBack()
    try:
        rows = imports.remove_rows(recorded.import_id, span.facility_id, corrected_from=corrected_from, at=at)
        seal(span)
        imports.finish(recorded.import_id, span.facility_id, at=at)
    except _CONCERNS_ALL:
        raise
    except Exception as error:  # noqa: BLE001 - it must not strand the rows of other facilities
        return FacilityTakenBack(facility_id=span.facility_id, rows=rows, failure=str(error) or repr(error))
    return FacilityTakenBack(facility_id=span.facility_id, rows=rows)


def state_of(recorded: RecordedImport) -> str:
    """The state of an import, in two or three words."""
    if recorded.taken_back_at is not None:
        return "partly taken back" if recorded.facilities_left else "taken back"
    return "not complete" if recorded.completed_at is None else "complete"
