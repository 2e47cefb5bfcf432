"""The map of streams has one root for one content, and proves for every id what it says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ledger.map_pages import (
    FIRST_PAGE,
    LEAF_STREAMS,
    MapMismatch,
    MapWay,
    branch,
    changed_pages,
    children_of,
    leaf_page,
    map_way,
    pages_wanted,
)
from domain.ledger.merkle import ProofRefused, leaf_hash, node_hash
from domain.ledger.stream_map import (
    EMPTY_MAP,
    ID_BITS,
    StreamVersion,
    bit_of,
    check_head,
    map_path,
    map_root,
    stream_leaf,
    stream_node,
)
from tests.sizes import examples

NEAR = st.integers(0, 40).map(lambda number: number.to_bytes(16, "big"))
"""Ids that differ in their last bits only."""
ANY = st.integers(0, 5_000).map(lambda number: sha256(str(number).encode()).digest()[:16])
ids = NEAR | ANY
maps = st.dictionaries(ids, st.integers(1, 2**63 - 1), max_size=60)


def reference_root(streams: Mapping[bytes, int], depth: int = 0) -> bytes:
    """The definition: a node exists only where both sides have streams."""
    if not streams:
        return EMPTY_MAP
    if len(streams) == 1:
        return stream_leaf(*next(iter(streams.items())))
    sides: list[dict[bytes, int]] = [{}, {}]
    for stream_id, version in streams.items():
        sides[bit_of(stream_id, depth)][stream_id] = version
    roots = [reference_root(side, depth + 1) for side in sides]
    if EMPTY_MAP in roots:
        return roots[roots[0] == EMPTY_MAP]
    return sha256(b"\x03" + bytes([depth]) + roots[0] + roots[1]).digest()


@given(maps)
def test_the_root_is_that_of_the_definition(streams: dict[bytes, int]) -> None:
    assert map_root(sorted(streams.items())) == reference_root(streams)


class Pages:
    """Pages in memory, loaded as a store loads them: only what is asked for."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.root = EMPTY_MAP
        self.streams = 0

    def change(self, changes: Mapping[bytes, int]) -> int:
        loaded = self.loaded(changes)
        changed, self.root, added = changed_pages(loaded, self.root, changes)
        self.stored |= changed
        self.streams += added
        return len(changed)

    def loaded(self, changes: Mapping[bytes, int]) -> dict[str, bytes | None]:
        loaded: dict[str, bytes | None] = {}
        while wanted := pages_wanted(loaded, changes):
            loaded |= {name: self.stored.get(name) for name in wanted}
        return loaded

    def way(self, stream_id: bytes) -> MapWay:
        loaded: dict[str, bytes | None] = {}
        while isinstance(found := map_way(loaded, stream_id), str):
            loaded[found] = self.stored.get(found)
        return found


@given(st.lists(maps, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=examples(200), deadline=None)
def test_the_pages_have_the_same_root_whatever_the_order_of_the_changes(
    batches: list[dict[bytes, int]], random: object
) -> None:
    wanted: dict[bytes, int] = {}
    pages, reverse = Pages(), Pages()
    for batch in batches:
        pages.change(batch)
        for stream_id, version in batch.items():
            wanted[stream_id] = max(version, wanted.get(stream_id, 0))
        assert pages.root == map_root(sorted(wanted.items()))
    for batch in reversed(batches):
        reverse.change(batch)
    assert (reverse.root, reverse.streams) == (pages.root, len(wanted))
    assert all(page for page in reverse.stored.values())


@given(maps, ids)
@settings(max_examples=examples(300), deadline=None)
def test_every_id_is_proven_in_or_not_in_the_map_and_nothing_else_is(
    streams: dict[bytes, int], stream_id: bytes
) -> None:
    pages = Pages()
    pages.change(streams)
    way = pages.way(stream_id)
    version = streams.get(stream_id, 0)
    if streams:
        assert (way.path, way.leaf) == map_path(sorted(streams.items()), stream_id)
    other = None if version else way.leaf
    check_head(pages.root, stream_id, version, way.path, other)
    claims: list[tuple[int, StreamVersion | None]] = [(version + 1, None), (version + 1, way.leaf)]
    if version:
        claims += [(0, None), (0, (stream_id, version)), (version - 1, None)]
    else:
        claims += [(1, None)]
    for claim, leaf in claims:
        with pytest.raises((ProofRefused, OverflowError)):
            check_head(pages.root, stream_id, claim, way.path, leaf)


@given(st.dictionaries(ids, st.integers(1, 2**63 - 1), min_size=2, max_size=60), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_a_changed_path_proves_nothing(streams: dict[bytes, int], data: st.DataObject) -> None:
    stream_id = data.draw(st.sampled_from(sorted(streams)))
    path, leaf = map_path(sorted(streams.items()), stream_id)
    root = map_root(sorted(streams.items()))
    at = data.draw(st.integers(0, len(path) - 1))
    depth, sibling = path[at]
    for changed in (
        (*path[:at], *path[at + 1 :]),
        (*path[:at], (depth, bytes([sibling[0] ^ 1]) + sibling[1:]), *path[at + 1 :]),
        (*path[:at], ((depth + 1) % ID_BITS, sibling), *path[at + 1 :]),
        (*path, (0, sibling)),
        (*path[:at], (depth, EMPTY_MAP), *path[at + 1 :]),
    ):
        with pytest.raises(ProofRefused):
            check_head(root, stream_id, leaf[1], changed)


@given(st.dictionaries(ids, st.integers(1, 2**63 - 1), min_size=1, max_size=12), ids)
@settings(max_examples=examples(200), deadline=None)
def test_a_stream_of_the_map_cannot_be_proven_absent(streams: dict[bytes, int], beside: bytes) -> None:
    """Neither by the path of another stream, nor by another leaf at the end of its own."""
    ordered = sorted(streams.items())
    root = map_root(ordered)
    for stream_id in streams:
        for path_of in (stream_id, beside):
            path, _ = map_path(ordered, path_of)
            for other in ordered:
                with pytest.raises(ProofRefused):
                    check_head(root, stream_id, 0, path, other)


@given(st.dictionaries(ids, st.integers(1, 2**63 - 1), min_size=LEAF_STREAMS + 1, max_size=60), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_a_page_that_was_changed_in_the_store_is_not_extended(
    streams: dict[bytes, int], data: st.DataObject
) -> None:
    pages = Pages()
    pages.change(streams)
    changes = {data.draw(st.sampled_from(sorted(streams))): 2**62}
    name = data.draw(st.sampled_from(sorted(pages.loaded(changes))))
    page = pages.stored[name]
    at = data.draw(st.integers(1, len(page) - 1))
    pages.stored[name] = page[:at] + bytes([page[at] ^ 1]) + page[at + 1 :]
    with pytest.raises((MapMismatch, KeyError)):
        pages.change(changes)


def test_hashes_of_the_map_are_none_of_the_log() -> None:
    data = bytes(15) + b"\x01" + (7).to_bytes(8, "big")
    assert stream_leaf(data[:16], 7) not in (leaf_hash(data), stream_node(0, data[:16], data[16:]))
    assert stream_node(0, b"l" * 32, b"r" * 32) != node_hash(b"l" * 32, b"r" * 32)
    assert stream_node(1, b"l" * 32, b"r" * 32) != stream_node(2, b"l" * 32, b"r" * 32)


def test_a_change_touches_only_the_pages_on_its_way() -> None:
    pages = Pages()
    pages.change({sha256(str(n).encode()).digest()[:16]: 1 for n in range(20_000)})
    assert pages.change({sha256(b"5").digest()[:16]: 2}) <= 5
    assert pages.streams == 20_000
    assert children_of(pages.stored[FIRST_PAGE]) is not None
    assert branch([EMPTY_MAP] * 16) != leaf_page([])
