"""The stored map of streams: extending it with the log, and proofs of what it says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import DEMAND_RESPONSE, MIN_POSITION
from domain.ledger.map_pages import (
    CHILDREN,
    LEAF_STREAMS,
    MapChange,
    MapState,
    MapWay,
    changed_pages,
    map_way,
    pages_wanted,
)


def map_change(store: LedgerStore, state: MapState, *, size: int, position: int) -> MapChange:
    """The change of the map by the domain events after `state`, up to that number and position. Raises MapMismatch if a
    stored page on the way is not the one under `state.root`.
    """
    if size == state.size:
        return MapChange(before=state, after=state, pages={})
    after = state.position if state.size else MIN_POSITION
    changes = dict(store.last_versions(DEMAND_RESPONSE, after=after, up_to=position))
    pages, root, added = changed_pages(_pages(store, changes, state.streams), state.root, changes)
    reached = MapState(size=size, position=position, streams=state.streams + added, root=root)
    return MapChange(before=state, after=reached, pages=pages)


def map_ways(store: LedgerStore, streams: int, stream_ids: Collection[bytes]) -> dict[bytes, MapWay]:
    """The way of each of these streams, in the map or not, through a map of about so many. Raises MapMismatch."""
    pages = _pages(store, stream_ids, streams)
    ways: dict[bytes, MapWay] = {}
    remaining = set(stream_ids)
    while remaining:
        wanted: set[str] = set()
        for stream_id in remaining:
            found = map_way(pages, stream_id)
            if isinstance(found, str):
                wanted.add(found)
            else:
                ways[stream_id] = found
        remaining -= ways.keys()
        if wanted:
            pages |= _read(store, wanted)
    return ways


def _pages(
    store: LedgerStore, stream_ids: Collection[bytes] | Mapping[bytes, int], streams: int
) -> dict[str, bytes | None]:
    """The pages on the ways of these streams, mostly in one query: the depth of the map is known roughly."""
    depth, room = 1, LEAF_STREAMS
    while room < streams:
        depth, room = depth + 1, room * CHILDREN
    digits = [stream_id.hex() for stream_id in stream_ids]
    pages = _read(store, {one[:length] for one in digits for length in range(depth + 1)})
    while wanted := pages_wanted(pages, stream_ids):
        pages |= _read(store, wanted)
    return pages


def _read(store: LedgerStore, names: set[str]) -> dict[str, bytes | None]:
    found = store.map_pages(DEMAND_RESPONSE, names)
    return {name: found.get(name) for name in names}
