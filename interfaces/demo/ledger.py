"""The demo's ledger: everything that was recorded is sealed, and holds."""

from __future__ import annotations

import msgspec

from interfaces.bootstrap import Stores, verify_ledger, wait_until_sealed

SEALED_WITHIN_S = 15.0
LOGS = ("demand-response", "forecasts")


class LedgerVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridproof audit verify` says at the end of the demo."""

    verified: bool
    domain_events: int
    """Of both logs, each held against what was sealed."""
    checkpoints: int
    problems: tuple[str, ...] = ()


def judged_ledger(stores: Stores) -> LedgerVerdict:
    """Waits until all that is recorded now is sealed, and verifies it."""
    sealed = wait_until_sealed(stores, within_s=SEALED_WITHIN_S)
    report = verify_ledger(stores, logs=LOGS)
    problems = [f"{found.kind} at position {found.position}: {found.detail}" for found in report.findings]
    if not sealed:
        problems.append(f"not all that is recorded came under a checkpoint within {SEALED_WITHIN_S:g} s")
    return LedgerVerdict(
        verified=not problems,
        domain_events=sum(log.domain_events for log in report.logs),
        checkpoints=report.checkpoints,
        problems=tuple(problems),
    )
