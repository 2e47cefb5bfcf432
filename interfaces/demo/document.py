"""The demo's JSON document."""

import msgspec

from interfaces.demo.checks import Evidence
from interfaces.demo.ledger import LedgerCheck, ProofCheck
from interfaces.demo.settlement import SettlementCheck


class FacilityCounts(msgspec.Struct, frozen=True, kw_only=True):
    asked: int
    committed: int
    failed: int
    restored: int


class DemoDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`committed`, `restored`, `duplicate_bms_commands` and `curtailed_after_end` come from the buildings' journal."""

    dr_event_id: str
    status: str
    outcome: str | None
    settlement_status: str
    settlement: SettlementCheck
    facilities: FacilityCounts
    failed_facilities: dict[str, str]
    target_kw: float
    delivered_kw: float | None
    duplicate_bms_commands: int
    curtailed_after_end: int
    domain_events: int
    ledger: LedgerCheck
    proof: ProofCheck
    seconds: float
    killed: tuple[str, ...]
    """The work in flight at each kill of a worker."""
    faults: list[str]


def document_of(
    evidence: Evidence, *, domain_events: int, seconds: float, faults: list[str], failed: dict[str, str]
) -> DemoDocument:
    state = evidence.dr_event.state
    actions = evidence.building_actions
    return DemoDocument(
        dr_event_id=str(evidence.dr_event.id),
        status=state.status,
        outcome=state.outcome,
        settlement_status=state.settlement_status,
        settlement=evidence.settlement,
        facilities=FacilityCounts(
            asked=len(evidence.roles.requested),
            committed=len(actions.committed),
            failed=len(failed),
            restored=len(actions.restored),
        ),
        failed_facilities=failed,
        target_kw=state.notice.target_kw if state.notice else 0.0,
        delivered_kw=state.delivered_kw,
        duplicate_bms_commands=sum(count - 1 for count in actions.duplicates.values()),
        curtailed_after_end=len(actions.curtailed_after_end),
        domain_events=domain_events,
        ledger=evidence.ledger,
        proof=evidence.proof,
        seconds=round(seconds, 1),
        killed=evidence.in_flight,
        faults=faults,
    )
