"""Proofs: documents that prove that domain events are in a log as they were when it was sealed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from application.ledger.checkpoints import CheckpointRefused, SignedCheckpoint, read_checkpoint
from application.ledger.proof_check import NamedStreams, check_document, named_streams
from application.ledger.proof_document import (
    ProofBroken,
    ProofDocument,
    ProvenHead,
    ProvenRow,
)
from application.ledger.proof_measurements import DecodedRow, measurements_in_force
from application.ledger.proof_readings import ProvenReadings, WantedReadings, seal_streams
from application.ledger.proof_seals import is_wanted
from application.ledger.proof_settlements import DocumentSource, Settlement, no_documents, wanted_documents
from application.ledger.stored_map import map_ways
from application.ledger.stored_tree import StoredTree
from application.ports.ledger.store import LedgerStore
from domain.dr_event import DREvent
from domain.ledger.entries import DEMAND_RESPONSE, Checkpoint, LogHead, LogRow
from domain.ledger.map_pages import MapMismatch
from domain.ledger.merkle import ProofRefused

STREAMS_AT_ONCE = 1_000
ReadingsSource = Callable[[Sequence[WantedReadings]], Sequence[ProvenReadings]]


def no_readings(_wanted: Sequence[WantedReadings]) -> Sequence[ProvenReadings]:
    return ()


class NotProvable(Exception):
    """No proof can be made. The text says why, and what to do."""


class NothingSealed(NotProvable):
    """There is no checkpoint yet."""


def prove(
    store: LedgerStore,
    public_key: bytes | Callable[[], bytes],
    dr_event_id: UUID,
    positions: Sequence[int],
    read: ReadingsSource = no_readings,
    *,
    documents: DocumentSource = no_documents,
) -> ProofDocument:
    """A proof of what the newest checkpoint covers of a DR event. Raises NotProvable.

    `positions` are those of its domain events, of its dispatches, and of its facilities on account of it. `read`
    returns the readings of the facilities that were measured, `documents` those of the settlements; their errors are
    raised.
    """
    with store.snapshot() as now:
        signed = latest_checkpoint(now, public_key)
        head = signed.checkpoint.head_of(DEMAND_RESPONSE)
        sealed = [position for position in positions if position <= head.last_position]
        if not sealed:
            raise NotProvable(
                f"no domain event of {dr_event_id} is sealed yet; a checkpoint is made every few seconds while "
                "`gridproof worker project` runs"
            )
        try:
            rows, heads, named = _complete_rows(now, signed.checkpoint, dr_event_id, sealed)
            readings = _readings(rows, named, read)
            document = ProofDocument(
                dr_event_id=dr_event_id,
                signed_checkpoint=signed,
                domain_events=_proven(now, head, [row.row for row in rows]),
                heads=heads,
                readings=readings,
                seals=_proven(now, head, _seals(now, head, readings)),
                settlements=tuple(documents(wanted_documents(_settlements(dr_event_id, rows)))),
            )
            check_document(document, bytes.fromhex(signed.public_key))  # the key that was passed in
        except (ProofBroken, ProofRefused, MapMismatch) as error:
            raise NotProvable(
                f"the log is not what was signed: {error}; see `gridproof audit verify`"
            ) from error
    return document


def _complete_rows(
    store: LedgerStore, checkpoint: Checkpoint, dr_event_id: UUID, positions: Sequence[int]
) -> tuple[list[DecodedRow], tuple[ProvenHead, ...], NamedStreams]:
    """The domain events of the DR event, with the last version of every stream that it names."""
    head = checkpoint.head_of(DEMAND_RESPONSE)
    own = store.rows_of_streams(DEMAND_RESPONSE, [dr_event_id], up_to=head.last_position)
    named = named_streams(dr_event_id, map(DecodedRow, own))
    whole = named.whole(dr_event_id)
    rows = store.rows_of_streams(DEMAND_RESPONSE, whole, up_to=head.last_position)
    streams = set(whole)
    partly = [row for row in store.rows(DEMAND_RESPONSE, positions) if row.originator_id not in streams]
    ways = map_ways(store, checkpoint.stream_map.streams, [stream_id.bytes for stream_id in whole])
    heads = tuple(ProvenHead.of(stream_id, ways[stream_id.bytes]) for stream_id in whole)
    decoded = map(DecodedRow, sorted(rows + partly, key=lambda row: row.position))
    return list(decoded), heads, named


def _readings(
    rows: Sequence[DecodedRow], named: NamedStreams, read: ReadingsSource
) -> tuple[ProvenReadings, ...]:
    measured = measurements_in_force(rows, named.dispatches)
    return tuple(read([one.wanted() for one in measured]))


def _settlements(dr_event_id: UUID, rows: Sequence[DecodedRow]) -> list[Settlement]:
    """The domain events that record settlements, in the order of the log."""
    own = (row.domain_event for row in rows if row.originator_id == dr_event_id)
    return [
        domain_event for domain_event in own if isinstance(domain_event, DREvent.Settled | DREvent.Resettled)
    ]


def _seals(store: LedgerStore, head: LogHead, readings: Sequence[ProvenReadings]) -> list[LogRow]:
    """The sealed domain events that seal days of these readings."""
    days = {one.facility_id: set(one.days()) for one in readings}
    streams = seal_streams(readings)
    rows: list[LogRow] = []
    for start in range(0, len(streams), STREAMS_AT_ONCE):
        part = streams[start : start + STREAMS_AT_ONCE]
        sealing = store.rows_of_streams(DEMAND_RESPONSE, part, up_to=head.last_position)
        rows += [row for row in sealing if is_wanted(DecodedRow(row), days)]
    return sorted(rows, key=lambda row: row.position)


def _proven(store: LedgerStore, head: LogHead, rows: Sequence[LogRow]) -> tuple[ProvenRow, ...]:
    tree = StoredTree(store, DEMAND_RESPONSE, head.size)
    index_of = tree.located([row.position for row in rows])
    for row in rows:
        if row.position not in index_of:
            raise NotProvable(f"position {row.position} was never sealed; see `gridproof audit verify`")
    paths = tree.inclusion_proofs([index_of[row.position] for row in rows])
    return tuple(
        ProvenRow.of(row, index_of[row.position], path) for row, path in zip(rows, paths, strict=True)
    )


def latest_checkpoint(store: LedgerStore, public_key: bytes | Callable[[], bytes]) -> SignedCheckpoint:
    """The newest checkpoint. Raises NotProvable; NothingSealed before `public_key` is called."""
    return stored_checkpoint(store, store.last_checkpoint_number(), public_key)


def stored_checkpoint(
    store: LedgerStore, number: int, public_key: bytes | Callable[[], bytes]
) -> SignedCheckpoint:
    """The checkpoint with that number. Raises NotProvable; NothingSealed before `public_key` is called."""
    written = store.checkpoint(number)
    if number == 0:
        raise NothingSealed("nothing is sealed yet; does `gridproof worker project` run?")
    if written is None:
        raise NotProvable(f"checkpoint {number} is missing in the database; see `gridproof audit verify`")
    try:
        return read_checkpoint(
            written, public_key if isinstance(public_key, bytes) else public_key(), number=number
        )
    except CheckpointRefused as error:
        raise NotProvable(f"checkpoint {number}: {error}; see `gridproof audit verify`") from error
