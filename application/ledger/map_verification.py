"""Verification of the map of streams: computed again from the log, and compared with the newest checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

from application.ledger.checkpoints import Chain
from application.ledger.verification_report import Finding, MapReport
from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import DEMAND_RESPONSE, MIN_POSITION
from domain.ledger.stream_map import StreamVersion, map_root


def verify_map(store: LedgerStore, chain: Chain) -> tuple[MapReport | None, list[Finding]]:
    """Compare the map that the newest checkpoint seals with the log, which is as it was sealed; and the stored map
    with both. None before the first checkpoint. Raises LedgerUnavailable.
    """
    if not chain.checkpoints:
        return None, []
    checkpoint = chain.checkpoints[-1].checkpoint
    sealed, head = checkpoint.stream_map, checkpoint.head_of(DEMAND_RESPONSE)
    streams = _Counted(store.last_versions(DEMAND_RESPONSE, after=MIN_POSITION, up_to=head.last_position))
    root = map_root(streams).hex() if head.size else map_root(()).hex()
    findings = []
    if (root, streams.count) != (sealed.root, sealed.streams):
        findings.append(
            _finding(
                f"checkpoint {checkpoint.number} seals the last versions of {sealed.streams} streams under another "
                f"root than the {streams.count} of the log have: proofs under it do not show every domain event"
            )
        )
    stored = store.map_state(DEMAND_RESPONSE)
    if stored.size == head.size and stored.root.hex() != sealed.root:
        findings.append(_finding(f"the stored map is not the one that checkpoint {checkpoint.number} seals"))
    return MapReport(checkpoint=checkpoint.number, streams=streams.count), findings


def _finding(detail: str) -> Finding:
    return Finding(kind="map", log=DEMAND_RESPONSE, position=None, detail=detail)


class _Counted:
    """Streams, counted as they pass."""

    def __init__(self, streams: Iterator[StreamVersion]) -> None:
        self._streams = streams
        self.count = 0

    def __iter__(self) -> Iterator[StreamVersion]:
        for one in self._streams:
            self.count += 1
            yield one
