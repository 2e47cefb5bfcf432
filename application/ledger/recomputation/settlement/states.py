"""The states that a DR event was settled from, as the domain events of a proof before each settlement give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from application.ledger.proof_check import CheckedProof
from application.ledger.proof_settlements import Settlement
from application.settlement.log_states import MeasurementsRead, folded
from domain.dispatch import DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import DomainEvent, state_after
from domain.program import ProgramState


class DispatchEntry(NamedTuple):
    """A domain event of a dispatch, at its position in the log."""

    position: int
    domain_event: DomainEvent


class LogStates(msgspec.Struct, frozen=True, kw_only=True):
    """States as of a position."""

    dr_event: DREventState
    dispatches: Mapping[str, DispatchState]
    """Facility -> its dispatch, of those that were ever in the plan."""
    programs: Mapping[str, ProgramState]
    entries: Mapping[str, Sequence[DispatchEntry]]
    """Facility -> the domain events of its dispatch, also later ones."""
    until: int
    """The position of the newest domain event in these states."""

    def as_read(self, measurements: Mapping[str, str], settled_at: datetime) -> LogStates:
        """With the measurements that a settlement names (facility -> domain event id), where newer ones were recorded
        while it was computed."""
        read = MeasurementsRead(measurements, settled_at)
        earlier = {}
        for facility_id in self.dispatches:
            entries = [entry for entry in self.entries[facility_id] if entry.position <= self.until]
            if (without_later := read.as_read(entries, facility_id)) is not entries:
                earlier[facility_id] = folded(without_later, None)
        return msgspec.structs.replace(self, dispatches={**self.dispatches, **earlier})


class RecordedSettlement(NamedTuple):
    """A domain event that records a settlement, and the states before it."""

    position: int
    domain_event: Settlement
    states: LogStates


class SettlementHistory(NamedTuple):
    settlements: tuple[RecordedSettlement, ...]
    """In the order of the log."""
    final: LogStates | None
    """At the end of the proof; None without a domain event of the DR event itself."""


def settlement_history(proof: CheckedProof) -> SettlementHistory:
    """Raises ProofBroken for a domain event that this release cannot read, and what a wrong order of them raises."""
    fold = _Fold(proof)
    settlements = tuple(fold.settlements())
    return SettlementHistory(settlements, fold.states() if proof.dr_event_id in fold.known else None)


class _Fold:
    """The newest state of each stream."""

    def __init__(self, proof: CheckedProof) -> None:
        self._rows, self._dr_event_id, self._named = proof.rows, proof.dr_event_id, proof.named
        self._wanted = set(self._named.whole(self._dr_event_id))
        self.known: dict[UUID, Any] = {}
        self._entries: dict[str, list[DispatchEntry]] = {}
        self._position = 0

    def settlements(self) -> Iterator[RecordedSettlement]:
        for row in self._rows:
            if (stream := row.originator_id) not in self._wanted:
                continue
            domain_event = row.domain_event
            if isinstance(domain_event, DREvent.Settled | DREvent.Resettled):
                yield RecordedSettlement(row.position, domain_event, self.states())
            self._position = row.position
            if (facility_id := self._named.dispatches.get(stream)) is not None:
                entry = DispatchEntry(row.position, domain_event)
                self._entries.setdefault(facility_id, []).append(entry)
            self.known[stream] = state_after(self.known.get(stream), domain_event)

    def states(self) -> LogStates:
        dr_event: DREventState = self.known[self._dr_event_id]
        in_plan = set(dr_event.dispatched)
        return LogStates(
            dr_event=dr_event,
            dispatches={
                facility_id: self.known[stream]
                for stream, facility_id in self._named.dispatches.items()
                if facility_id in in_plan and stream in self.known
            },
            programs={
                program_id: self.known[stream]
                for stream, program_id in self._named.programs.items()
                if stream in self.known
            },
            entries=self._entries,
            until=self._position,
        )
