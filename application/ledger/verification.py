"""Verification: recompute the logs and compare them with the ledger's table, the archive and the signed
checkpoints.

The archive is the reference: its tiles by the hashes in a checkpoint, the checkpoints by their signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import msgspec

from application.event_store.event_mapper import recorded_at_of
from application.ledger.checkpoints import Chain, read_chain
from application.ledger.map_verification import verify_map
from application.ledger.recorded_times import TOLERANCE, doubtful_times, time_finding
from application.ledger.restores import recorded_restores, restore_findings
from application.ledger.sealed_intervals import SealedEntries, SealedInterval, intervals_of
from application.ledger.verification_report import (
    Finding,
    FindingKind,
    LedgerReport,
    LogReport,
    MapReport,
    Span,
)
from application.ledger.witness import WitnessCheckpoint, findings_since
from application.ports.archive import Archive
from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import (
    DEMAND_RESPONSE,
    ENTRY_BYTES,
    LOGS,
    MIN_POSITION,
    Difference,
    LogHead,
    differences,
    empty_head,
    hashes_of,
    last_position_of,
    positions_of,
)
from domain.ledger.merkle import HASH_BYTES

BATCH_ENTRIES = 65_536
MAX_FINDINGS = 1_000
"""The most findings listed for one log; further ones are counted."""
MAX_MOVE_CANDIDATES = 200
"""The most differences searched for moved rows, since each is compared with each."""


def verify_ledger(
    store: LedgerStore,
    archive: Archive,
    public_key: bytes,
    *,
    logs: Sequence[str] = LOGS,
    span: Span | None = None,
    witness: WitnessCheckpoint | None = None,
    with_map: bool = True,
    time_tolerance: timedelta = TOLERANCE,
    up_to: int | None = None,
    progress: Callable[[str, int, int], None] = lambda log, done, total: None,
) -> LedgerReport:
    """Verify the logs within `span`, and that the ledger extends a checkpoint that somebody kept. Raises
    LedgerUnavailable or ArchiveUnavailable.

    The map of streams is compared when the whole demand response log is verified and is as it was sealed.
    With `up_to`, checkpoints after that number are left out: those that a backup cannot have. `progress` is called with
    the log, the domain events done, and their total.
    """
    chain = read_chain(archive, store, public_key, up_to=up_to)
    restores = recorded_restores(store, chain.checkpoints)
    findings = [
        Finding(
            kind="checkpoint", log=None, position=None, detail=f"checkpoint {found.number}: {found.detail}"
        )
        for found in chain.findings
    ]
    findings += restore_findings(store, archive, chain, restores)
    if witness is not None:
        findings += findings_since(witness, chain, store, public_key, restores)
    reports = []
    stream_map: MapReport | None = None
    for log in logs:
        verification = _LogVerification(
            store,
            archive,
            chain,
            log=log,
            span=span or Span(),
            time_tolerance=time_tolerance,
            progress=progress,
        )
        reports.append(verification.run())
        findings += verification.findings
        if with_map and span is None and log == DEMAND_RESPONSE and verification.is_as_sealed:
            stream_map, found_in_map = verify_map(store, chain)
            findings += found_in_map
    return LedgerReport(
        verified=all(found.kind == "restored" for found in findings),
        public_key=public_key.hex(),
        checkpoints=len(chain.checkpoints),
        logs=tuple(reports),
        findings=tuple(findings),
        stream_map=stream_map,
        witness=None if witness is None else witness.number,
        restores=tuple(restore.report for restore in restores),
    )


class _LogVerification:
    """The verification of one log."""

    def __init__(
        self,
        store: LedgerStore,
        archive: Archive,
        chain: Chain,
        *,
        log: str,
        span: Span,
        time_tolerance: timedelta,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._store, self._log, self._span, self._progress = store, log, span, progress
        self._time_tolerance = time_tolerance
        self._sealed = SealedEntries(store, archive, log)
        self._intervals = intervals_of(chain, log)
        self._differing: list[tuple[Difference, bytes, bool]] = []
        self.findings: list[Finding] = []
        self._done = 0
        self._total = 0
        self._more = 0

    @property
    def is_as_sealed(self) -> bool:
        """True if every sealed row of the log was found as it was sealed."""
        lost = any(finding.kind == "interval" for finding in self.findings)
        return not lost and not any(signed for _, _, signed in self._differing)

    def run(self) -> LogReport:
        appended = self._store.appended(self._log)  # read before the head, so that it is not beyond it
        head = self._store.head(self._log)
        sealed = self._intervals[-1].head if self._intervals else empty_head(self._log)
        chosen = [one for one in self._intervals if self._span.touches(one.after, one.head.last_position)]
        self._total = sum(one.count for one in chosen)
        for batch in self._batches(chosen):
            self._compare(batch)
        self._compare_unsealed(sealed, appended.size, appended.position)
        self._report_differences()
        if head and not sealed.size:
            self._report("checkpoint", None, "no checkpoint of it holds: nothing signed speaks of it")
        return LogReport(
            log=self._log,
            domain_events=self._done,
            head=head,
            sealed_to=sealed.last_position,
            unsealed=self._store.count_after(self._log, sealed.last_position),
            more_findings=self._more,
        )

    def _batches(self, chosen: Sequence[SealedInterval]) -> Iterator[_Batch]:
        """The sealed entries of consecutive intervals, combined into batches."""
        batch: _Batch | None = None
        for interval in chosen:
            entries, damage = self._sealed.of(interval)
            for kind, detail in damage:
                self._report(kind, interval.first_position, detail, through=interval.head.last_position)
            if batch is not None and (entries is None or batch.count >= BATCH_ENTRIES):
                yield batch
                batch = None
            if entries is None:
                continue
            if batch is None:
                batch = _Batch(interval.after, interval.first, interval.head.last_position, [], [])
            batch.parts.append(entries)
            batch.intervals.append(interval)
            batch.up_to = interval.head.last_position
        if batch is not None:
            yield batch

    def _compare(self, batch: _Batch) -> None:
        sealed = b"".join(batch.parts)
        recorded = bytearray()
        found = self._store.entries_of_log(self._log, after=batch.after, up_to=batch.up_to, recorded=recorded)
        self._note(sealed, found, signed=True)
        self._check_times(found, bytes(recorded), batch.intervals)
        table = self._store.entries(self._log, batch.first, batch.count)
        for difference in differences(sealed, table):
            self._report(
                "ledger-table",
                difference.position,
                f"the ledger's table has its entry {difference.kind}; the archive has it as sealed",
            )
        self._done += batch.count
        self._progress(self._log, self._done, self._total)

    def _check_times(self, found: bytes, recorded: bytes, intervals: Sequence[SealedInterval]) -> None:
        for position, interval in doubtful_times(found, recorded, intervals, self._time_tolerance):
            row = self._store.row(self._log, position) if len(self.findings) < MAX_FINDINGS else None
            recorded_at = None if row is None else recorded_at_of(row.state)
            if recorded_at is None:
                self._report("time", position, "its time cannot be read")
            elif (wrong := time_finding(recorded_at, interval, self._time_tolerance)) is not None:
                self._report("time", position, wrong)

    def _compare_unsealed(self, sealed: LogHead, size: int, position: int) -> None:
        """Compare with the ledger's table only. A person who can change that table too is not detected here."""
        after = sealed.last_position if sealed.size else MIN_POSITION
        at = self._tail_begins(sealed, size)
        while at < size and self._span.touches(after, position):
            entries = self._store.entries(self._log, at, min(BATCH_ENTRIES, size - at))
            if not entries:
                self._report("ledger-table", after + 1, "the ledger's table lacks entries", through=position)
                return
            up_to = last_position_of(entries)
            found = self._store.entries_of_log(self._log, after=after, up_to=up_to)
            self._note(entries, found, signed=False)
            at, after = at + len(entries) // ENTRY_BYTES, up_to

    def _tail_begins(self, sealed: LogHead, size: int) -> int:
        """The index in the ledger's table at which the unsealed tail begins: after the sealed entries, unless
        entries before it were inserted or removed. Those are reported elsewhere, and must not shift this
        comparison."""
        if not sealed.size:
            return 0
        last, *following = positions_of(self._store.entries(self._log, sealed.size - 1, 2)).tolist() or [0]
        if last == sealed.last_position and all(position > last for position in following):
            return sealed.size
        before = 0
        for at in range(0, size, BATCH_ENTRIES):
            positions = positions_of(self._store.entries(self._log, at, BATCH_ENTRIES))
            before += int((positions <= sealed.last_position).sum())
        return before

    def _note(self, sealed: bytes, found: bytes, *, signed: bool) -> None:
        hashes: dict[int, bytes] | None = None
        for difference in differences(sealed, found):
            if hashes is None:
                packed = hashes_of(sealed)
                hashes = {
                    position: packed[number * HASH_BYTES : (number + 1) * HASH_BYTES]
                    for number, position in enumerate(positions_of(sealed).tolist())
                }
            if self._span.first <= difference.position <= self._span.last:
                self._differing.append((difference, hashes.get(difference.position, b""), signed))

    def _report_differences(self) -> None:
        moved = self._moved()
        for difference, _, signed in self._differing:
            at = difference.position
            by = "" if signed else "; not sealed yet, so by the ledger's table alone"
            if at in moved:
                self._report("moved", at, moved[at] + by)
            else:
                self._report(difference.kind, at, _MEANING[difference.kind] + by)

    def _moved(self) -> dict[int, str]:
        """Position -> description, where a row that was sealed at one position is at another."""
        looked_for = self._differing[:MAX_MOVE_CANDIDATES]
        rows = self._store.rows(
            self._log, [found.position for found, _, _ in looked_for if found.kind != "removed"]
        )
        descriptions: dict[int, str] = {}
        for found, leaf, _ in looked_for:
            for row in rows if found.kind != "inserted" else ():
                sealed_at = found.position
                if (
                    row.position != sealed_at
                    and msgspec.structs.replace(row, position=sealed_at).leaf() == leaf
                ):
                    descriptions[row.position] = (
                        f"the domain event that was sealed at {sealed_at} stands here"
                    )
                    descriptions.setdefault(
                        sealed_at, f"the domain event that was sealed here stands at {row.position}"
                    )
        return descriptions

    def _report(
        self, kind: FindingKind, position: int | None, detail: str, *, through: int | None = None
    ) -> None:
        if position is not None and not self._span.touches(
            position - 1, position if through is None else through
        ):
            return
        if len(self.findings) >= MAX_FINDINGS:
            self._more += 1
            return
        self.findings.append(
            Finding(kind=kind, log=self._log, position=position, through=through, detail=detail)
        )


class _Batch(msgspec.Struct):
    """Sealed entries of positions `after` < position <= `up_to`; the first is leaf `first`."""

    after: int
    first: int
    up_to: int
    parts: list[bytes]
    """The entries of each interval."""
    intervals: list[SealedInterval]

    @property
    def count(self) -> int:
        return sum(map(len, self.parts)) // ENTRY_BYTES


_MEANING = {
    "changed": "its id, version, topic or state is not what was sealed",
    "removed": "it was sealed, and is no longer there",
    "inserted": "it is there, and was not when its place was sealed",
}
