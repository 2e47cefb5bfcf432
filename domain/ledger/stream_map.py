"""A Merkle map from the id of a stream to the version of its last domain event.

It is a binary trie over the 128 bits of the id in which a node exists only where ids differ, so that a map of
n streams has n - 1 nodes, whatever the order in which they were added. A leaf hashes as
SHA-256(0x02 || id || version), a node as SHA-256(0x03 || depth || left || right): `depth` (one byte) is the
number of the first bit, from the most significant one, at which the ids on the left (0) and on the right (1)
differ; the version has 8 bytes, big-endian. Neither can be mistaken for the other, nor for a hash of the tree
over the log (domain/ledger/merkle.py). The map without streams has the root EMPTY_MAP.

Who follows the bits of an id from the root down arrives at one leaf. Either it is that of the id, or the map
does not have the id: the same path proves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from domain.ledger.merkle import HASH_BYTES, ProofRefused

EMPTY_MAP = bytes(HASH_BYTES)
ID_BYTES = 16
ID_BITS = 128

StreamVersion = tuple[bytes, int]
"""The id of a stream, 16 bytes, and a version."""
PathStep = tuple[int, bytes]
"""The depth of a node on the way, and the hash on its other side."""


def stream_leaf(stream_id: bytes, version: int) -> bytes:
    """The hash of a stream's leaf."""
    return sha256(b"\x02" + stream_id + version.to_bytes(8, "big", signed=True)).digest()


def stream_node(depth: int, left: bytes, right: bytes) -> bytes:
    """The hash over two parts of a map; an empty part leaves the other as it is."""
    if left == EMPTY_MAP:
        return right
    if right == EMPTY_MAP:
        return left
    return sha256(b"\x03" + depth.to_bytes(1, "big") + left + right).digest()


def bit_of(stream_id: bytes, depth: int) -> int:
    return stream_id[depth >> 3] >> (7 - (depth & 7)) & 1


def map_root(streams: Iterable[StreamVersion]) -> bytes:
    """The root of the map of those streams, which rise by id. Keeps as many hashes as the trie is deep."""
    waiting: list[PathStep] = []
    previous: tuple[int, bytes] | None = None
    for stream_id, version in streams:
        number = int.from_bytes(stream_id, "big")
        if previous is not None:
            _join(waiting, previous[1], ID_BITS - (previous[0] ^ number).bit_length())
        previous = number, stream_leaf(stream_id, version)
    if previous is None:
        return EMPTY_MAP
    root = previous[1]
    for depth, left in reversed(waiting):
        root = stream_node(depth, left, root)
    return root


def _join(waiting: list[PathStep], root: bytes, depth: int) -> None:
    """Add a part that the next id leaves at `depth`: what waits below is its left side."""
    while waiting and waiting[-1][0] > depth:
        below, left = waiting.pop()
        root = stream_node(below, left, root)
    waiting.append((depth, root))


def map_path(
    streams: Sequence[StreamVersion], stream_id: bytes
) -> tuple[tuple[PathStep, ...], StreamVersion]:
    """The way from the leaf at which the bits of `stream_id` arrive up to the root over those streams (at least
    one, rising by id), and that leaf."""
    steps: list[PathStep] = []
    first, end = 0, len(streams)
    while end - first > 1:
        depth = _differ(streams[first][0], streams[end - 1][0])
        middle = next(at for at in range(first, end) if bit_of(streams[at][0], depth))
        if bit_of(stream_id, depth):
            other, first = streams[first:middle], middle
        else:
            other, end = streams[middle:end], middle
        steps.append((depth, map_root(other)))
    return tuple(reversed(steps)), streams[first]


def _differ(one: bytes, other: bytes) -> int:
    """The first bit at which two ids differ."""
    return ID_BITS - (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_length()


def check_head(
    root: bytes, stream_id: bytes, version: int, path: Sequence[PathStep], other: StreamVersion | None = None
) -> None:
    """Raises ProofRefused unless the map with that root has that last version of the stream; with version 0,
    unless it does not have the stream. `other` is then the leaf at which the path ends, None in a map without
    streams.
    """
    if version == 0:
        if other is None:
            _require(root == EMPTY_MAP and not path, "only a map without streams has no leaf on the way")
            return
        found, leaf = other[0], stream_leaf(*other)
        _require(found != stream_id, "the map has the stream")
    else:
        _require(other is None, "a stream that the map has is its own leaf")
        found, leaf = stream_id, stream_leaf(stream_id, version)
    below = ID_BITS
    for depth, sibling in path:
        _require(0 <= depth < below, "the path does not lead upwards")
        _require(len(sibling) == HASH_BYTES and sibling != EMPTY_MAP, "a hash of the path is none")
        _require(bit_of(found, depth) == bit_of(stream_id, depth), "the path is that of another stream")
        leaf = (
            stream_node(depth, sibling, leaf)
            if bit_of(stream_id, depth)
            else stream_node(depth, leaf, sibling)
        )
        below = depth
    _require(leaf == root, f"the map does not say version {version} of that stream")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProofRefused(otherwise)


def packed_streams(streams: Iterable[StreamVersion]) -> bytes:
    """24 bytes each: the id and the version, big-endian."""
    return b"".join([stream_id + version.to_bytes(8, "big", signed=True) for stream_id, version in streams])


def unpacked_streams(packed: bytes) -> Iterator[StreamVersion]:
    """Raises ValueError unless these are whole streams."""
    if len(packed) % STREAM_BYTES:
        raise ValueError(f"streams are {STREAM_BYTES} bytes each, not {len(packed)} in all")
    for at in range(0, len(packed), STREAM_BYTES):
        end = at + ID_BYTES
        yield packed[at:end], int.from_bytes(packed[end : end + 8], "big", signed=True)


STREAM_BYTES = ID_BYTES + 8
