"""The programs with every version of their terms: when it was agreed, and by whom.

No table holds these rows: they are folded from the log when they are read (`as_of.lists.HistoricalLists.programs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import program_stream_id
from domain.program import Program, Terms
from projections.engine.division import StreamDivision
from projections.engine.projection import FilterKind, Rows, existing


class ProgramVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the terms. It applies to the DR events that are accepted from then on."""

    version: int
    terms: Terms
    agreed_at: datetime
    agreed_by: str
    """The actor: `operator:<key id>`, `operator:cli/<id>`."""
    position: int
    """In the log."""


class ProgramRow(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """A program."""

    program_id: str
    utility_id: str
    versions: tuple[ProgramVersion, ...] = ()
    """The oldest first."""

    @property
    def newest(self) -> ProgramVersion:
        """Every row of a list has one."""
        return self.versions[-1]


def key_of(program_id: str) -> str:
    """The program's stream id."""
    return str(program_stream_id(program_id))


class ProgramsProjection(StreamDivision):
    """Folds the programs."""

    name: ClassVar[str] = "programs"
    version: ClassVar[int] = 1
    row_type: ClassVar[Any] = ProgramRow
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (Program.Event,)
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {"utility_id": "equals"}

    def key(self, row: ProgramRow) -> str:
        return key_of(row.program_id)

    def sort_key(self, row: ProgramRow) -> str | None:
        return row.program_id if row.versions else None  # between its opening and its first terms

    def tenant(self, row: ProgramRow) -> str | None:
        return row.utility_id

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return [str(domain_event.originator_id)] if isinstance(domain_event, Program.Event) else []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[ProgramRow]) -> None:
        match domain_event:
            case Program.Opened():
                rows.put(ProgramRow(program_id=domain_event.program_id, utility_id=domain_event.utility_id))
            case Program.TermsAgreed():
                row = existing(rows, str(domain_event.originator_id), domain_event)
                version = ProgramVersion(
                    version=domain_event.version,
                    terms=domain_event.terms,
                    agreed_at=domain_event.recorded_at,
                    agreed_by=domain_event.actor,
                    position=position,
                )
                rows.put(replace(row, versions=(*row.versions, version)))
            case _:
                pass
