"""The check of the ledger for `gridproof doctor`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from application.ledger.proof import NotProvable
from application.ports.clock import Clock
from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.ledger import MOST_SEAL_S, NoPublicKey, ledger_status

if TYPE_CHECKING:
    from application.ledger.status import LedgerStatus, LogStatus
    from interfaces.bootstrap.stores import Stores

NAME = "ledger"
MOST_UNSEALED_S = 3 * MOST_SEAL_S
"""Wall seconds: a checkpoint is due every ten seconds while domain events wait to be sealed."""
_ADVICE = "does `gridproof worker project` run? see docs/runbooks/ledger_unsealed.md"
_MISMATCH_ADVICE = "see docs/runbooks/ledger_mismatch.md"


def check_ledger(stores: Stores) -> CheckResult:
    """The newest checkpoint: its age, its positions, and the domain events that it does not cover."""
    try:
        status = ledger_status(stores)
    except NoPublicKey:
        detail = "not looked at: the ledger's public key is not known here (GRIDPROOF_LEDGER_KEY)"
        return CheckResult(check=NAME, state="not set", detail=detail)
    except NotProvable as error:
        return CheckResult(check=NAME, state="wrong", detail=str(error), advice=_MISMATCH_ADVICE)
    return assess(status, stores.clock)


def assess(status: LedgerStatus, clock: Clock) -> CheckResult:
    """`wrong` where a domain event has waited too long for a checkpoint, or a verification failed."""
    if status.mismatches:
        detail, advice = status.mismatches[0].detail, _MISMATCH_ADVICE
    elif late := [log for log in status.logs if _waited_s(log, status, clock) > MOST_UNSEALED_S]:
        longest_s = max(_waited_s(log, status, clock) for log in late)
        names = ", ".join(f"{log.unsealed} of {log.log}" for log in late)
        detail = f"{names} not sealed for {longest_s:.0f} s; {_summary(status)}"
        advice = _ADVICE
    else:
        return CheckResult(check=NAME, state="ok", detail=_summary(status), facts=_facts(status))
    return CheckResult(check=NAME, state="wrong", detail=detail, advice=advice, facts=_facts(status))


def _waited_s(log: LogStatus, status: LedgerStatus, clock: Clock) -> float:
    """Wall seconds that the log's oldest unsealed domain event has waited; 0 where none waits.

    Imported history is dated long before it was stored, so nothing counts as waiting since before the newest
    checkpoint.
    """
    if not log.unsealed:
        return 0.0
    since: datetime | None = log.oldest_unsealed_at
    if status.checkpoint is not None:
        since = status.checkpoint.at if since is None else max(since, status.checkpoint.at)
    if since is None:
        return 0.0
    return clock.wall_seconds(max(clock.now() - since, timedelta()).total_seconds())


def _summary(status: LedgerStatus) -> str:
    unsealed = sum(log.unsealed for log in status.logs)
    if status.checkpoint is None:
        return (
            f"nothing is sealed yet, {unsealed} domain events wait" if unsealed else "nothing is recorded yet"
        )
    reaches = ", ".join(f"{log.log} to {log.sealed_to}" for log in status.logs)
    return (
        f"checkpoint {status.checkpoint.number}, {status.checkpoint.age_s:.0f} s old, {reaches}, "
        f"{unsealed} not sealed yet, key {status.checkpoint.key_id}"
    )


def _facts(status: LedgerStatus) -> dict[str, Any]:
    checkpoint = status.checkpoint
    return {
        "checkpoint": None if checkpoint is None else checkpoint.number,
        "at": None if checkpoint is None else checkpoint.at,
        "age_s": None if checkpoint is None else round(checkpoint.age_s, 3),
        "key_id": None if checkpoint is None else checkpoint.key_id,
        "position": {log.log: log.sealed_to for log in status.logs},
        "unsealed": {log.log: log.unsealed for log in status.logs},
    }
