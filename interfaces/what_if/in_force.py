"""The settlement of a DR event that is in force, from the log alone: what a hypothetical one is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from application.settlement.log_states import StatesInLog, folded
from application.settlement.settled_event import (
    Dispatches,
    basis_of_dr_event,
    inputs_digest,
)
from application.settlement.verification import EARLIER_STATES
from application.settlement.what_if import WhatIfRefused
from domain.dr_event import DREvent, DREventState
from domain.identifiers import program_stream_id
from domain.program import ProgramState, SettlementRule, Terms
from domain.settlement.resettlement import Basis
from projections.audit.replay import AuditDocument, history_as_of, replay
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog


class SettlementInForce(NamedTuple):
    """A DR event that is over and measured, in the state that its settlement in force was computed from."""

    document: AuditDocument
    """Up to that settlement; up to the position that was asked for, where none is recorded."""
    dr_event: DREventState
    dispatches: Dispatches
    tz_of: Mapping[str, str]
    program: ProgramState
    """With all versions that were agreed up to the position that was asked for."""
    version: int
    """Of the program, that is settled by."""
    revision: int | None
    """None: nothing is recorded yet."""

    @property
    def terms(self) -> Terms:
        return self.program.versions[self.version]

    def is_of(self, digest: str) -> bool:
        """True if a settlement with these inputs was computed from this state."""
        rule = self.terms.settlement
        return rule is not None and inputs_digest(self.basis(rule)) == digest

    def basis(self, rule: SettlementRule) -> Basis:
        """The basis of a settlement by `rule`."""
        return basis_of_dr_event(self.dr_event, rule, self.dispatches, self.tz_of)


def settlement_in_force(log: StreamLog, dr_event_id: UUID, as_of: AsOf | None) -> SettlementInForce:
    """Raises NotAllowedNow before every facility is measured, DREventNotRecorded, PositionAhead,
    StreamLogUnavailable, and WhatIfRefused where the log lacks the version of the program."""
    position, history = history_as_of(log, dr_event_id, as_of)
    entries = _until_settled([entry for entry in history.entries if entry.position <= position])
    _check_can_be_settled(entries, dr_event_id)
    until = entries[-1].position
    document = replay(entries, dr_event_id, names=history.streams.facilities, as_of=as_of, position=until)
    program = folded(
        log.entries_of([program_stream_id(document.dr_event.judged_notice.program_id)]), position
    )
    recorded = document.dr_event.settlement
    version = document.dr_event.program_version if recorded is None else recorded.figures.program_version
    if program is None or version not in program.versions:
        raise WhatIfRefused("no_program", f"the log has no version {version} of the DR event's program")
    states = StatesInLog.of(log, dr_event_id)
    moments = iter([until]) if recorded is None else states.moments_before(until, EARLIER_STATES)
    candidates = (_state_at(states, moment, document, program, version) for moment in moments)
    newest = next(candidates)
    if recorded is None or newest.is_of(recorded.figures.inputs_digest):
        return newest
    return next((one for one in candidates if one.is_of(recorded.figures.inputs_digest)), newest)


def _state_at(
    states: StatesInLog, moment: int, document: AuditDocument, program: ProgramState, version: int
) -> SettlementInForce:
    dr_event, _, dispatches = states.at(moment, version=version)
    recorded = document.dr_event.settlement
    return SettlementInForce(
        document=document,
        dr_event=dr_event,
        dispatches=dispatches,
        tz_of=states.time_zones(dr_event, dispatches, moment),
        program=program,
        version=version,
        revision=None if recorded is None else recorded.revision,
    )


def _until_settled(entries: list[StreamEntry]) -> list[StreamEntry]:
    """Up to the newest settlement; all where there is none."""
    settled = [
        number
        for number, entry in enumerate(entries, start=1)
        if isinstance(entry.domain_event, DREvent.Settled | DREvent.Resettled)
    ]
    return entries[: settled[-1]] if settled else entries


def _check_can_be_settled(entries: Sequence[StreamEntry], dr_event_id: UUID) -> None:
    """Raises NotAllowedNow, which says what is waited for."""
    dr_event: DREvent | None = None
    for entry in entries:
        if entry.domain_event.originator_id == dr_event_id:
            dr_event = cast("Any", entry.domain_event).mutate(dr_event)
    if dr_event is None:
        raise LookupError(f"the log has no domain event of DR event {dr_event_id} itself")
    dr_event.check_can_be_settled()
