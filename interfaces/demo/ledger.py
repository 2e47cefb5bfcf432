"""The demo's ledger checks: every domain event is sealed, the ledger verifies, and the proof of the DR event holds."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec

from application.ledger.proof import NotProvable
from application.ledger.proof_document import ProofBroken
from interfaces.bootstrap import (
    Stores,
    check_audit_file,
    prove_dr_event,
    read_public_key,
    verify_ledger,
    wait_until_sealed,
)

SEALED_WITHIN_S = 120.0
"""Long enough for a busy machine; on an idle one at most 10 s."""
PROOF_FILE, PUBLIC_KEY = "demo.proof.json", "ledger.pub"
LOGS = ("demand-response", "forecasts")


class LedgerCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `gridproof audit verify` at the end of the demo."""

    verified: bool
    domain_events: int
    """In both logs, each compared with the sealed checkpoints."""
    checkpoints: int
    problems: tuple[str, ...] = ()


def check_ledger(stores: Stores) -> LedgerCheck:
    """Wait until every domain event recorded so far is sealed, then verify the ledger."""
    sealed = wait_until_sealed(stores, within_s=SEALED_WITHIN_S)
    report = verify_ledger(stores, logs=LOGS)
    problems = [
        f"{finding.kind} at position {finding.position}: {finding.detail}" for finding in report.findings
    ]
    if not sealed:
        problems.append(f"some domain events were not sealed within {SEALED_WITHIN_S:g} s")
    return LedgerCheck(
        verified=not problems,
        domain_events=sum(log.domain_events for log in report.logs),
        checkpoints=report.checkpoints,
        problems=tuple(problems),
    )


class ProofCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `gridproof audit check` on the proof of the DR event, from the file and the public key alone."""

    file: str | None
    """None: it was removed with the demo's folder."""
    bytes: int = 0
    holds: bool = False
    recomputed: str = ""
    """The line of the command."""
    equal: int = 0
    differs: int = 0
    not_recomputed: int = 0
    settlement: str = ""
    """The line of the command about the settlements; empty: none was recorded."""
    total: str | None = None
    """Recomputed, of the newest revision."""
    problems: tuple[str, ...] = ()


def write_and_check_proof(stores: Stores, dr_event_id: UUID, folder: Path, *, is_kept: bool) -> ProofCheck:
    """Write the proof into the demo's folder, and check it as an auditor would who has nothing else."""
    path = folder / PROOF_FILE
    file = str(path) if is_kept else None
    try:
        path.write_bytes(prove_dr_event(stores, dr_event_id).written())
        content = path.read_bytes()
        checked = check_audit_file(content, read_public_key(str(folder / PUBLIC_KEY)))
    except (NotProvable, ProofBroken) as error:
        return ProofCheck(file=file, problems=(str(error),))
    found, settlements = checked.measurements, checked.settlements
    if found is None:
        return ProofCheck(file=file, problems=("the proof has no readings",))
    return ProofCheck(
        file=file,
        bytes=len(content),
        holds=not checked.differs,
        recomputed=found.line,
        equal=found.count("equal"),
        differs=found.count("differs"),
        not_recomputed=found.count("not_recomputed"),
        settlement="" if settlements is None else settlements.line,
        total=None if settlements is None else settlements.newest.recomputed_total,
        problems=tuple(
            f"{one.facility_id}: {text}"
            for one in found.facilities
            for text in [one.why, *(difference.sentence for difference in one.differences)][:3]
            if text
        )
        + tuple(
            f"settlement, revision {one.revision}: {difference.sentence}"
            for one in ([] if settlements is None else settlements.revisions)
            for difference in one.differences[:3]
        ),
    )
