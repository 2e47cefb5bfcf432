"""Cached log rows are not decoded again, and a changed row is."""

import msgspec

from adapters.postgres.audit.stream_log import OVERHEAD, DecodedEntryCache
from application.event_store.event_mapper import encode_state
from tests.property.projections.projected_logs import PortfolioWalk

Row = tuple[int, str, object, int, bytes]


def rows() -> list[Row]:
    walk = PortfolioWalk()
    walk.happy()
    return [
        (
            entry.position,
            entry.topic,
            entry.domain_event.originator_id,
            entry.domain_event.originator_version,
            encode_state(entry.domain_event),
        )
        for entry in walk.entries
    ]


def test_cached_rows_give_the_same_objects_and_a_changed_row_is_decoded_again() -> None:
    stored, decoded = rows(), DecodedEntryCache()
    first, again = decoded.of(stored), decoded.of(list(stored))
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert [entry.position for entry in first] == [row[0] for row in stored]
    place = next(n for n, row in enumerate(stored) if b'"actor":"' in row[4])
    position, topic, stream, version, state = stored[place]
    actor = first[place].domain_event.actor
    changed = state.replace(f'"actor":"{actor}"'.encode(), b'"actor":"mallory"')
    stored[place] = (position, topic, stream, version, changed)
    entry = decoded.of(stored)[place]
    assert entry.domain_event == msgspec.structs.replace(first[place].domain_event, actor="mallory")
    assert decoded.of(stored)[place] is entry


def test_the_cache_has_an_upper_bound() -> None:
    stored = rows()
    most = sum(len(row[4]) + OVERHEAD for row in stored[:10])
    decoded = DecodedEntryCache(max_bytes=most)
    for _ in range(3):
        found = decoded.of(stored)
        assert [entry.position for entry in found] == [row[0] for row in stored]
        assert decoded._cached.counts().size <= most
        assert decoded._cached.counts().size == sum(
            len(row[4]) + OVERHEAD for _, (row, _) in decoded._cached.items()
        )
