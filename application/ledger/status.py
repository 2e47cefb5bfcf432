"""Status of the ledger: how far it is sealed, for operators and auditors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256

import msgspec

from application.event_store.event_mapper import recorded_at_of
from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.proof import NothingSealed, latest_checkpoint
from application.ports.ledger.store import LedgerStore
from application.ports.operations.alerts import UNTIL_RESTATED, Alert, AlertRegistry
from domain.ledger.entries import LOGS, MAX_POSITION, MIN_POSITION, empty_head, last_position_of

KEY_ID_DIGITS = 16


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A log, and how much of it the newest checkpoint covers."""

    log: str
    head: int
    """The newest position; 0 for an empty log."""
    size: int
    """Domain events under the checkpoint: the leaves of the log's tree."""
    root: str
    """Of that tree, hexadecimal."""
    sealed_to: int
    """The last position under the checkpoint."""
    unsealed: int
    """Domain events after it, not covered by any signature yet."""
    oldest_unsealed_at: datetime | None = None
    """When the first of those was recorded; None where there is none, or it has no time."""


class CheckpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint."""

    number: int
    at: datetime
    age_s: float
    """Seconds of the clock."""
    key_id: str
    """The first digits of the SHA-256 of the public key."""
    public_key: str


class LedgerMismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A mismatch that a verification or the sealing found, and that no later one has cleared."""

    found_by: str
    detail: str
    since: datetime
    last_seen_at: datetime


class LedgerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Both logs under the newest checkpoint."""

    logs: tuple[LogStatus, ...]
    checkpoint: CheckpointStatus | None
    """None while nothing is sealed."""
    signed_checkpoint: SignedCheckpoint | None
    """As signed and archived. An auditor keeps it to compare a later ledger with it."""
    mismatches: tuple[LedgerMismatch, ...]
    """Should be empty. It covers only what was verified: see `gridproof audit verify`."""


def key_id(public_key: bytes) -> str:
    return sha256(public_key).hexdigest()[:KEY_ID_DIGITS]


def ledger_status(
    store: LedgerStore, public_key: Callable[[], bytes], alerts: Sequence[Alert], *, now: datetime
) -> LedgerStatus:
    """`public_key` is called only where there is a checkpoint. Raises NotProvable for an invalid one."""
    signed: SignedCheckpoint | None = None
    with suppress(NothingSealed):  # the status of the logs is available anyway
        signed = latest_checkpoint(store, public_key)
    return LedgerStatus(
        logs=tuple(_log_status(store, log, signed) for log in LOGS),
        checkpoint=None if signed is None else _checkpoint_status(signed, now),
        signed_checkpoint=signed,
        mismatches=tuple(
            LedgerMismatch(
                found_by=alert.subject,
                detail=alert.detail,
                since=alert.raised_at,
                last_seen_at=alert.last_seen_at,
            )
            for alert in alerts
            if alert.name == "ledger_mismatch" and alert.cleared_at is None
        ),
    )


def _checkpoint_status(signed: SignedCheckpoint, now: datetime) -> CheckpointStatus:
    checkpoint = signed.checkpoint
    return CheckpointStatus(
        number=checkpoint.number,
        at=checkpoint.at,
        age_s=(now - checkpoint.at).total_seconds(),
        key_id=key_id(bytes.fromhex(signed.public_key)),
        public_key=signed.public_key,
    )


def _log_status(store: LedgerStore, log: str, signed: SignedCheckpoint | None) -> LogStatus:
    head = empty_head(log) if signed is None else signed.checkpoint.head_of(log)
    after = head.last_position if head.size else MIN_POSITION
    unsealed = store.count_after(log, after)
    return LogStatus(
        log=log,
        head=store.head(log),
        size=head.size,
        root=head.root,
        sealed_to=head.last_position,
        unsealed=unsealed,
        oldest_unsealed_at=_recorded_at(store, log, after) if unsealed else None,
    )


def _recorded_at(store: LedgerStore, log: str, after: int) -> datetime | None:
    """When the first domain event after that position was recorded; decodes nothing else."""
    row = store.row(
        log, last_position_of(store.entries_of_log(log, after=after, up_to=MAX_POSITION, limit=1))
    )
    return None if row is None else recorded_at_of(row.state)


def state_verified(alerts: AlertRegistry, part: str, found: str | None, *, at: datetime) -> None:
    """State what a command found wrong with `part`; None: nothing. It holds until somebody verifies it again."""
    stated = {} if found is None else {part: found[:1_000]}
    alerts.state("ledger_mismatch", stated, observer=part, at=at, holds_s=UNTIL_RESTATED)
