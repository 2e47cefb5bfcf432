"""The demo's ledger check: every domain event is sealed, and the ledger verifies."""

from __future__ import annotations

import msgspec

from interfaces.bootstrap import Stores, verify_ledger, wait_until_sealed

SEALED_WITHIN_S = 15.0
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
