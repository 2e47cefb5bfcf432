"""A Merkle map of streams (domain/ledger/stream_map.py) in pages, so that a change touches only the pages on its
way: O(log n).

A page is named by the first hexadecimal digits of the ids in it; the first page has the name "". It is a leaf
page with up to LEAF_STREAMS streams, or a branch with the root of the page below for each next digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from domain.ledger.merkle import HASH_BYTES
from domain.ledger.stream_map import (
    EMPTY_MAP,
    PathStep,
    StreamVersion,
    bit_of,
    map_path,
    map_root,
    packed_streams,
    stream_node,
    unpacked_streams,
)

LEAF_STREAMS = 16
CHILDREN = 16
_DIGIT_BITS = 4
_LEAF_PAGE, _BRANCH = b"\x00", b"\x01"
FIRST_PAGE = ""


class MapMismatch(Exception):
    """A stored page is not the one whose root is above it."""


class MapState(msgspec.Struct, frozen=True):
    """The first `size` domain events of the log are in the map; the last one stands at `position`."""

    size: int = 0
    position: int = 0
    streams: int = 0
    root: bytes = EMPTY_MAP


class MapChange(msgspec.Struct, frozen=True):
    """The pages that further domain events change."""

    before: MapState
    after: MapState
    pages: dict[str, bytes]


def leaf_page(streams: Iterable[StreamVersion]) -> bytes:
    return _LEAF_PAGE + packed_streams(streams)


def branch(children: Sequence[bytes]) -> bytes:
    return _BRANCH + b"".join(children)


def streams_of(page: bytes | None) -> list[StreamVersion]:
    """The streams of a leaf page, rising by id. Raises MapMismatch for a damaged one."""
    try:
        return [] if page is None else list(unpacked_streams(page[1:]))
    except ValueError as error:
        raise MapMismatch(str(error)) from error


def children_of(page: bytes | None) -> list[bytes] | None:
    """The roots below a branch; None for a leaf page."""
    if page is None or not is_branch(page):
        return None
    if len(page) != 1 + CHILDREN * HASH_BYTES:
        raise MapMismatch(f"a branch of the map has {len(page)} bytes")
    return [page[at : at + HASH_BYTES] for at in range(1, len(page), HASH_BYTES)]


def is_branch(page: bytes | None) -> bool:
    return page is not None and page[:1] == _BRANCH


def _over(children: list[bytes], depth: int) -> bytes:
    """The root over the parts below a branch, the first bit of which is `depth`."""
    for level in range(_DIGIT_BITS - 1, -1, -1):
        children = [
            stream_node(depth + level, children[at], children[at + 1]) for at in range(0, len(children), 2)
        ]
    return children[0]


def pages_wanted(pages: Mapping[str, bytes | None], stream_ids: Iterable[bytes]) -> set[str]:
    """The names of the next pages on the ways of those streams by their own digits that are not in `pages` (None:
    there is no such page)."""
    wanted: set[str] = set()
    for stream_id in stream_ids:
        digits, name = stream_id.hex(), FIRST_PAGE
        while name in pages and is_branch(pages[name]):
            name = digits[: len(name) + 1]
        if name not in pages:
            wanted.add(name)
    return wanted


def changed_pages(
    pages: Mapping[str, bytes | None], root: bytes, changes: Mapping[bytes, int]
) -> tuple[dict[str, bytes], bytes, int]:
    """The pages that change if streams get these versions, the new root, and how many streams are new.

    `pages` has all that `pages_wanted` asks for, and the map over them has that root. Raises MapMismatch if
    it has not.
    """
    if not changes:
        return {}, root, 0
    update = _Update(pages)
    new_root = update.of(FIRST_PAGE, root, sorted(changes.items()))
    return update.changed, new_root, update.added


class _Update:
    def __init__(self, pages: Mapping[str, bytes | None]) -> None:
        self._pages = pages
        self.changed: dict[str, bytes] = {}
        self.added = 0

    def of(self, name: str, root: bytes, changes: list[StreamVersion]) -> bytes:
        """Apply the changes to the page and those below it. Returns its new root."""
        page = self._pages[name]
        children = children_of(page)
        if children is None:
            return self._leaf_page(name, root, streams_of(page), changes)
        self._check(name, _over(children, _DIGIT_BITS * len(name)), root)
        children = list(children)
        for digit, part in _by_digit(changes, len(name)).items():
            children[digit] = self.of(f"{name}{digit:x}", children[digit], part)
        self.changed[name] = branch(children)
        return _over(children, _DIGIT_BITS * len(name))

    def _leaf_page(
        self, name: str, root: bytes, streams: list[StreamVersion], changes: list[StreamVersion]
    ) -> bytes:
        self._check(name, map_root(streams), root)
        versions = dict(streams)
        self.added -= len(versions)
        for stream_id, version in changes:
            versions[stream_id] = max(version, versions.get(stream_id, 0))
        self.added += len(versions)
        return self._placed(name, sorted(versions.items()))

    def _placed(self, name: str, streams: list[StreamVersion]) -> bytes:
        """Write the streams below a name, in as many pages as they need. Returns the root."""
        if len(streams) <= LEAF_STREAMS:
            self.changed[name] = leaf_page(streams)
            return map_root(streams)
        children = [EMPTY_MAP] * CHILDREN
        for digit, part in _by_digit(streams, len(name)).items():
            children[digit] = self._placed(f"{name}{digit:x}", part)
        self.changed[name] = branch(children)
        return _over(children, _DIGIT_BITS * len(name))

    @staticmethod
    def _check(name: str, root: bytes, expected: bytes) -> None:
        if root != expected:
            raise MapMismatch(f"page {name!r} of the map of streams is not what it was")


def _by_digit(streams: list[StreamVersion], digits: int) -> dict[int, list[StreamVersion]]:
    """The streams by the digit of their id after so many."""
    at, shift = digits >> 1, 0 if digits & 1 else 4
    parts: dict[int, list[StreamVersion]] = {}
    for one in streams:
        parts.setdefault(one[0][at] >> shift & 15, []).append(one)
    return parts


class MapWay(msgspec.Struct, frozen=True):
    """The way of a stream's bits to a leaf."""

    path: tuple[PathStep, ...]
    """From the leaf up."""
    leaf: StreamVersion | None
    """None in a map without streams."""


def map_way(pages: Mapping[str, bytes | None], stream_id: bytes) -> MapWay | str:
    """The way to the leaf at which the bits of the id arrive, or the name of the next page that it takes and that is
    not in `pages`. Raises MapMismatch."""
    down: list[PathStep] = []
    name = FIRST_PAGE
    while name in pages:
        children = children_of(pages[name])
        if children is None:
            streams = streams_of(pages[name])
            if not streams:
                if name:
                    raise MapMismatch(f"page {name!r} of the map of streams is missing")
                return MapWay((), None)
            path, leaf = map_path(streams, stream_id)
            return MapWay((*path, *reversed(down)), leaf)
        digit, steps = _through(children, stream_id, _DIGIT_BITS * len(name))
        down += steps
        name = f"{name}{digit:x}"
    return name


def _through(children: list[bytes], stream_id: bytes, depth: int) -> tuple[int, list[PathStep]]:
    """The child of a branch at which the bits arrive, and the steps down to it."""
    first, end = 0, len(children)
    steps: list[PathStep] = []
    while end - first > 1:
        middle = (first + end) // 2
        left, right = children[first:middle], children[middle:end]
        left_root, right_root = (_folded(left, depth), _folded(right, depth))
        goes_right = bool(bit_of(stream_id, depth))
        if EMPTY_MAP in (left_root, right_root):
            if left_root == right_root:
                raise MapMismatch("a branch of the map of streams is empty")
            goes_right = left_root == EMPTY_MAP
        else:
            steps.append((depth, left_root if goes_right else right_root))
        first, end = (middle, end) if goes_right else (first, middle)
        depth += 1
    return first, steps


def _folded(children: list[bytes], depth: int) -> bytes:
    """The root of one side of a node at `depth`, given the children on it."""
    below = depth + len(children).bit_length() - 1
    while len(children) > 1:
        children = [stream_node(below, children[at], children[at + 1]) for at in range(0, len(children), 2)]
        below -= 1
    return children[0]
