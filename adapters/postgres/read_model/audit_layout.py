"""Column layout of the audit trail's table. It uses columns instead of JSON, because it has as many rows as
there are domain events.

Ids take 16 bytes instead of 36, keys are compared as numbers, and nothing is parsed when rows are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, LiteralString

from adapters.postgres.read_model.row_encoding import Stored
from adapters.postgres.read_model.row_layout import RowLayout
from adapters.postgres.wire_format.binary_arrays import NULL, text
from projections.audit.trail import AuditStep, FacilityName
from projections.engine.cursors import invalid_cursor
from projections.engine.projection import AnyProjection
from projections.engine.stored_row import NO_NUL

_ROWS_A_BLOCK = 500
_MAX_CACHED = 65_536
_COPIED: LiteralString = (
    "(generation, key, position, dr_event_id, correlation_id, tenant, facility_id, who, topic)"
)
# Nine fields, each preceded by its length: generation, key, position, DR event and correlation, then the
# texts.
_BEGIN = Struct("!hiii")
_POSITION = Struct("!iq")
_ID_LENGTH = Struct("!i").pack(16)

_ROW: LiteralString = """
CASE WHEN topic IS NULL THEN
    json_build_object('type', 'facility', 'stream_id', key, 'facility_id', facility_id)
ELSE
    json_build_object('type', 'step', 'position', position, 'domain_event_id', replace(key::text, '-', ''),
        'dr_event_id', dr_event_id, 'facility_id', facility_id, 'who', who, 'topic', topic,
        'correlation_id', correlation_id, 'tenant', tenant)
END::text
"""
_PUT: LiteralString = """
INSERT INTO {table} (generation, key, facility_id, position)
SELECT %s, changed.key, changed.facility_id, changed.position
FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS changed (key, facility_id, position)
ON CONFLICT (generation, key) DO UPDATE SET facility_id = excluded.facility_id, position = excluded.position
"""


class _Texts(dict[tuple[str | None, ...], bytes]):
    """Cache of encoded texts: the same few combinations occur in many rows."""

    def __missing__(self, texts: tuple[str | None, ...]) -> bytes:
        if len(self) >= _MAX_CACHED:
            self.clear()
        stored = self[texts] = b"".join(map(_text, texts))
        return stored


class _Ids(dict[tuple[str, ...], bytes]):
    """Cache of encoded ids: the domain events of one DR event are close together."""

    def __missing__(self, ids: tuple[str, ...]) -> bytes:
        if len(self) >= _MAX_CACHED:
            self.clear()
        stored = self[ids] = b"".join(_ID_LENGTH + bytes.fromhex(id_.replace("-", "")) for id_ in ids)
        return stored


def _blocks(projection: AnyProjection, rows: Iterable[Stored], generation: int) -> Iterator[bytes]:
    del projection
    texts, ids, fromhex, position_of = _Texts(), _Ids(), bytes.fromhex, _POSITION.pack
    begin = _BEGIN.pack(9, 4, generation, 16)
    block: list[bytes] = []
    for row, position in rows:
        if isinstance(row, AuditStep):
            block += (
                begin,
                fromhex(row.domain_event_id),
                position_of(8, position),
                ids[row.dr_event_id, row.correlation_id],
                texts[row.tenant, row.facility_id, row.who, row.topic],
            )
        else:
            block += (begin, _name(row, position))
        if len(block) >= 5 * _ROWS_A_BLOCK:
            yield b"".join(block)
            block.clear()
    if block:
        yield b"".join(block)


def _name(row: FacilityName, position: int) -> bytes:
    facility_id = _text(row.facility_id)
    place = row.stream_id.bytes + _POSITION.pack(8, position)
    return place + NULL + NULL + NULL + facility_id + NULL + NULL


def _text(value: str | None) -> bytes:
    return text(None if value is None else value.replace("\0", NO_NUL))


def _arrays(projection: AnyProjection, rows: Sequence[Stored]) -> Sequence[Any]:
    """Parameters for rows of facility names. Steps are only ever added, by COPY."""
    del projection
    return (
        [row.stream_id for row, _ in rows],
        [row.facility_id.replace("\0", NO_NUL) for row, _ in rows],
        [position for _, position in rows],
    )


def _place(sort_key: str, key: str) -> tuple[int]:
    del key  # no two steps have the same position
    if not (sort_key.isascii() and sort_key.isdigit() and len(sort_key) <= _DIGITS):
        raise invalid_cursor()
    return (int(sort_key),)


_DIGITS = 20
AUDIT_LAYOUT = RowLayout(
    stem="audit_steps",
    key="replace(key::text, '-', '')",
    key_type="uuid",
    row=_ROW,
    sort_key="lpad(position::text, 20, '0')",
    is_listed="topic IS NOT NULL",
    copied=_COPIED,
    put=_PUT,
    blocks=_blocks,
    arrays=_arrays,
    order=("position",),
    place=_place,
    ids=frozenset({"dr_event_id", "correlation_id"}),
    texts=frozenset({"facility_id", "topic", "who"}),
)
