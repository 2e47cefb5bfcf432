"""The projection of dispatches: the progress of each facility of a DR event, by zone."""

from collections.abc import Iterable, Mapping
from typing import ClassVar
from uuid import UUID

from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import dispatch_id
from projections.dispatch.changes import planned_row, row_after
from projections.dispatch.row import CommandRow, DispatchRow, MeasurementRow, ZoneRow
from projections.engine.division import StreamDivision
from projections.engine.projection import FilterKind, Rows, existing, id_text, sortable

__all__ = ["CommandRow", "DispatchRow", "DispatchesProjection", "MeasurementRow", "ZoneRow", "key_of"]


def key_of(dr_event_id: UUID, facility_id: str) -> str:
    """The id of the dispatch, the one id that all its domain events have."""
    return str(dispatch_id(dr_event_id, facility_id))


class DispatchesProjection(StreamDivision):
    """The projection behind the read model `dispatches`."""

    name: ClassVar[str] = "dispatches"
    version: ClassVar[int] = 9
    row_type: ClassVar[type[DispatchRow]] = DispatchRow
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (Dispatch.Event,)
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "dr_event_id": "equals",
        "facility_id": "equals",
        "status": "equals",
    }

    def key(self, row: DispatchRow) -> str:
        return id_text(row.dispatch_id)

    def sort_key(self, row: DispatchRow) -> str:
        return f"{sortable(row.starts_at)} {row.facility_id}"

    def tenant(self, row: DispatchRow) -> str | None:
        return row.tenant

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return [id_text(domain_event.originator_id)] if isinstance(domain_event, Dispatch.Event) else []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[DispatchRow]) -> None:
        if isinstance(domain_event, Dispatch.Planned):
            rows.put(planned_row(domain_event))
        elif isinstance(domain_event, Dispatch.Event):
            row = existing(rows, id_text(domain_event.originator_id), domain_event)
            rows.put(row_after(domain_event, row))
