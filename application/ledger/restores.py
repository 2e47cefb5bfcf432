"""Restores of the database that the ledger records: what was lost, and whether the rest is what was sealed before.

The first checkpoint after a restore (CheckpointAfterRestore) extends an older one than the archive ends with. A restore
takes the end of a log away and changes nothing else, so the entries that it sealed again must be those that the lost
checkpoints sealed first, up to where the restored log ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from application.event_store.event_mapper import decode_domain_event
from application.ledger.checkpoints import Chain, SignedCheckpoint
from application.ledger.sealed_intervals import SealedEntries, intervals_of, lineage_of
from application.ledger.verification_report import Finding, RestoreReport
from application.ports.archive import Archive
from application.ports.ledger.store import LedgerStore
from domain.administration import AdministrativeAct, restore_act_id
from domain.ledger.entries import (
    DEMAND_RESPONSE,
    ENTRY_BYTES,
    LOGS,
    NO_PREVIOUS_CHECKPOINT,
    CheckpointAfterRestore,
    differences,
    last_position_of,
    positions_of,
)


class RecordedRestore(msgspec.Struct, frozen=True):
    """A restore that a checkpoint of the ledger names."""

    checkpoint: CheckpointAfterRestore
    act: AdministrativeAct.DatabaseRestored | None
    """None: the log has no record of it."""

    def lost(self, number: int) -> bool:
        """True if a checkpoint of that number was lost."""
        return self.checkpoint.extends.number < number < self.checkpoint.number

    @property
    def report(self) -> RestoreReport:
        act = self.act
        return RestoreReport(
            checkpoint=self.checkpoint.number,
            at=self.checkpoint.at,
            extends=self.checkpoint.extends.number,
            last_archived=self.checkpoint.number - 1,
            target_at=None if act is None else act.target_at,
            restored_at=None if act is None else act.recorded_at,
            by=None if act is None else act.actor,
            lost=() if act is None else act.lost,
        )


def recorded_restores(store: LedgerStore, checkpoints: Sequence[SignedCheckpoint]) -> list[RecordedRestore]:
    """The restores that the newest of these valid checkpoints descends from, in order."""
    return [
        RecordedRestore(signed.checkpoint, _act_of(store, signed.checkpoint))
        for signed in lineage_of(checkpoints)
        if isinstance(signed.checkpoint, CheckpointAfterRestore)
    ]


def _act_of(
    store: LedgerStore, checkpoint: CheckpointAfterRestore
) -> AdministrativeAct.DatabaseRestored | None:
    """The act that the checkpoint must have sealed: its stream is named after both checkpoints."""
    last = checkpoint.number - 1
    act_id = restore_act_id(
        (checkpoint.extends.number, checkpoint.extends.digest), (last, checkpoint.previous)
    )
    up_to = checkpoint.head_of(DEMAND_RESPONSE).last_position
    for row in store.rows_of_streams(DEMAND_RESPONSE, [act_id], up_to=up_to):
        act = decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state)
        if isinstance(act, AdministrativeAct.DatabaseRestored):
            return act
    return None


def restore_findings(
    store: LedgerStore, archive: Archive, chain: Chain, restores: Sequence[RecordedRestore]
) -> Iterator[Finding]:
    """Findings that a restore is none: it has no record, or more than the end of a log was taken away."""
    for restore in restores:
        number = restore.checkpoint.number
        if restore.act is None:
            detail = (
                f"checkpoint {number} says that the database was restored, and the log has no record of that"
            )
            yield Finding(kind="checkpoint", log=None, position=None, detail=detail)
        before = [one for one in chain.checkpoints if one.checkpoint.number < number]
        base = restore.checkpoint.extends.number
        if base and all(one.checkpoint.number != base for one in lineage_of(before)):
            detail = f"checkpoint {number} extends checkpoint {base}, which an earlier restore lost"
            yield Finding(kind="checkpoint", log=None, position=None, detail=detail)
        for log in LOGS:
            sealed = SealedEntries(store, archive, log)
            lost = sealed_after(sealed, before, base, log)
            upto = [one for one in chain.checkpoints if one.checkpoint.number <= number]
            kept = sealed_after(sealed, upto, number - 1, log)
            if lost is None or kept is None:
                detail = (
                    f"tiles are missing: what the restore before checkpoint {number} took away is not known"
                )
                yield Finding(kind="tile", log=log, position=None, detail=detail)
                continue
            again = entries_up_to(kept, last_position_of(lost))
            yield from _differences(log, number, lost, again)
            if restore.act is not None:
                yield from _misstated(log, restore.act, lost, again)


def _misstated(
    log: str, act: AdministrativeAct.DatabaseRestored, lost: bytes, again: bytes
) -> Iterator[Finding]:
    """The statements of a restore's record about a log that the tiles contradict."""
    count = (len(lost) - len(again)) // ENTRY_BYTES
    said = sum(one.lost for one in act.lost if one.log == log)
    up_to = max((one.archived_position for one in act.lost if one.log == log), default=0)
    if said != count or (count and up_to != last_position_of(lost)):
        detail = (
            f"the record of the restore names {said} sealed domain events as lost, up to position {up_to}; the tiles "
            f"name {count}, up to position {last_position_of(lost)}"
        )
        yield Finding(kind="checkpoint", log=log, position=None, detail=detail)


def _differences(log: str, number: int, lost: bytes, kept: bytes) -> Iterator[Finding]:
    if lost.startswith(kept):
        return
    until = last_position_of(kept)
    for difference in differences(entries_up_to(lost, until), kept):
        detail = (
            f"checkpoint {number} sealed it again after a restore of the database, and not as it was sealed before: "
            "no restore does that"
        )
        yield Finding(kind=difference.kind, log=log, position=difference.position, detail=detail)


def sealed_after(
    sealed: SealedEntries, checkpoints: Sequence[SignedCheckpoint], number: int, log: str
) -> bytes | None:
    """The entries that the newest of these checkpoints seals, and checkpoint `number` did not. None if tiles are
    missing."""
    parts = []
    for interval in intervals_of(Chain(tuple(checkpoints), ()), log):
        if interval.number > number:
            entries, _ = sealed.of(interval)
            if entries is None:
                return None
            parts.append(entries)
    return b"".join(parts)


def entries_up_to(entries: bytes, position: int) -> bytes:
    """The packed entries whose position is at most that."""
    return entries[: int((positions_of(entries) <= position).sum()) * ENTRY_BYTES]


def reference_of(signed: SignedCheckpoint | None) -> tuple[int, str]:
    """Number and digest."""
    if signed is None:
        return 0, NO_PREVIOUS_CHECKPOINT
    return signed.checkpoint.number, signed.checkpoint.digest()


def lost_text(report: RestoreReport) -> str:
    """The losses of a restore, for people."""
    to = "the end of its archive" if report.target_at is None else _written(report.target_at)
    lost = "; ".join(
        f"{one.lost} sealed domain events of {one.log} after position {one.restored_position}, up to "
        f"{one.archived_position}"
        for one in report.lost
        if one.lost
    )
    return (
        f"restored to {to} by {report.by or 'nobody on record'}, as checkpoint {report.checkpoint} of "
        f"{_written(report.at)} says: it extends checkpoint {report.extends}, and {report.last_archived} was the last "
        f"one archived. Lost: {lost or 'nothing that was sealed'}"
    )


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
