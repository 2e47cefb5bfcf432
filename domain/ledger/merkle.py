"""A Merkle tree over an append-only list, with proofs (RFC 6962, section 2.1).

A leaf hashes as SHA-256(0x00 || data), a node as SHA-256(0x01 || left || right), so that neither can be
mistaken for the other. Lists of hashes are packed: 32 bytes each, without separators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
_LARGEST_BLOCK = 1 << 16
"""The number of leaves hashed to one peak at a time; it bounds the memory of `Frontier.extend`."""


class ProofRefused(ValueError):
    """The proof does not prove its claim."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def _level_above(packed: bytes) -> bytes:
    """The nodes over the complete pairs of a level; an odd last hash has no pair yet."""
    pairs = len(packed) // (2 * HASH_BYTES)
    return b"".join(
        [sha256(b"\x01" + packed[at : at + 64]).digest() for at in range(0, pairs * 2 * HASH_BYTES, 64)]
    )


def _fold(peaks: Sequence[bytes]) -> bytes:
    """The root over subtrees of descending size, as MTH splits a list."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


class Frontier:
    """The roots of a tree's complete subtrees: enough to append to the tree and to compute its root.

    `peaks` has one hash for each bit that is set in `size`, the largest subtree first.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks of {HASH_BYTES} bytes")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple(self._peaks)

    def copy(self) -> Frontier:
        return Frontier(self.size, self._peaks)

    def root(self) -> bytes:
        """The root of the tree."""
        return _fold(self._peaks)

    def extend(self, packed: bytes) -> None:
        """Append leaf hashes. Raises ValueError if `packed` does not consist of whole hashes."""
        if len(packed) % HASH_BYTES:
            raise ValueError(f"packed hashes are {HASH_BYTES} bytes each, not {len(packed)} in all")
        at, left = 0, len(packed) // HASH_BYTES
        while left:
            aligned = self.size & -self.size or _LARGEST_BLOCK
            block = min(aligned, 1 << (left.bit_length() - 1), _LARGEST_BLOCK)
            level = packed[at : at + block * HASH_BYTES]
            while len(level) > HASH_BYTES:
                level = _level_above(level)
            self._push(level, block)
            at += block * HASH_BYTES
            left -= block

    def _push(self, peak: bytes, leaves: int) -> None:
        size = self.size
        while size & leaves:
            peak = node_hash(self._peaks.pop(), peak)
            size -= leaves
            leaves *= 2
        self._peaks.append(peak)
        self.size = size + leaves


Subtree = tuple[int, int]
"""A complete subtree: its level (2^level leaves), and its number among the complete subtrees of that level."""


def subtrees(start: int, size: int) -> list[Subtree]:
    """The complete subtrees over `size` leaves from `start`, the largest first. MTH's splits make `start` a
    multiple of the largest one's size.
    """
    found = []
    while size:
        level = size.bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
        size -= 1 << level
    return found


def inclusion_subtrees(index: int, size: int) -> list[list[Subtree]]:
    """The subtrees of each hash of PATH(index, D[0:size]), from the leaf up. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _path(index, 0, size)


def consistency_subtrees(old_size: int, size: int) -> list[list[Subtree]]:
    """The subtrees of each hash of PROOF(old_size, D[0:size]). Raises ProofRefused."""
    if not 0 < old_size <= size:
        raise ProofRefused(f"no proof from {old_size} to {size}")
    return _subproof(old_size, 0, size, whole=True)


def _path(index: int, start: int, size: int) -> list[list[Subtree]]:
    if size == 1:
        return []
    split = _split(size)
    if index < split:
        return [*_path(index, start, split), subtrees(start + split, size - split)]
    return [*_path(index - split, start + split, size - split), subtrees(start, split)]


def _subproof(old_size: int, start: int, size: int, *, whole: bool) -> list[list[Subtree]]:
    if old_size == size:
        return [] if whole else [subtrees(start, size)]
    split = _split(size)
    if old_size <= split:
        return [
            *_subproof(old_size, start, split, whole=whole),
            subtrees(start + split, size - split),
        ]
    below = _subproof(old_size - split, start + split, size - split, whole=False)
    return [*below, subtrees(start, split)]


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def folded(peaks: Iterable[Subtree], root_of: Callable[[Subtree], bytes]) -> bytes:
    """The hash of a proof: one root over those subtrees."""
    return _fold([root_of(peak) for peak in peaks])


class HashTree:
    """A whole tree in memory (64 bytes per leaf): roots of every size up to its own, and proofs."""

    def __init__(self, packed: bytes) -> None:
        self.size = len(packed) // HASH_BYTES
        self._levels = [packed]
        while len(self._levels[-1]) > HASH_BYTES:
            self._levels.append(_level_above(self._levels[-1]))

    def root(self, size: int | None = None) -> bytes:
        """MTH(D[0:size]). Raises ValueError if the tree has fewer leaves."""
        size = self.size if size is None else size
        self._check(0 <= size <= self.size, f"the tree has {self.size} leaves, not {size}")
        return folded(subtrees(0, size), self.root_of)

    def root_of(self, subtree: Subtree) -> bytes:
        """The root of a complete subtree."""
        level, number = subtree
        return self._levels[level][number * HASH_BYTES : (number + 1) * HASH_BYTES]

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """PATH(index, D[0:size]), from the leaf up. Raises ValueError."""
        size = self.size if size is None else size
        self._check(0 <= index < size <= self.size, f"no leaf {index} in a tree of {size} of {self.size}")
        return tuple(folded(peaks, self.root_of) for peaks in inclusion_subtrees(index, size))

    def consistency_proof(self, old_size: int, size: int | None = None) -> tuple[bytes, ...]:
        """PROOF(old_size, D[0:size]). Raises ValueError."""
        size = self.size if size is None else size
        self._check(0 < old_size <= size <= self.size, f"no proof from {old_size} to {size} of {self.size}")
        return tuple(folded(peaks, self.root_of) for peaks in consistency_subtrees(old_size, size))

    @staticmethod
    def _check(holds: bool, otherwise: str) -> None:
        if not holds:
            raise ValueError(otherwise)


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` gives for the leaf hash at `index` in a tree of `size` (RFC 9162, section
    2.1.3.2).

    Raises ProofRefused if the proof has the wrong length for that index.
    """
    if not 0 <= index < size:
        raise ProofRefused(f"leaf {index} is not within {size}")
    at, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefused("the proof is too long")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofRefused("the proof is too short")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofRefused unless `proof` shows the leaf hash at `index` of the tree with that size and root."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofRefused(f"leaf {index} is not under that root")


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises ProofRefused unless the tree (size, root) begins with the tree (old_size, old_root).

    RFC 9162, section 2.1.4.2.
    """
    if not 0 < old_size <= size:
        raise ProofRefused(f"no tree of {size} leaves begins with one of {old_size} that could be proven")
    if old_size == size:
        if proof or old_root != root:
            raise ProofRefused("two trees of one size are the same tree, without a proof")
        return
    if _roots_from_consistency(old_size, size, [old_root, *proof] if _is_whole(old_size) else proof) != (
        old_root,
        root,
    ):
        raise ProofRefused(f"the tree of {size} leaves does not begin with that of {old_size}")


def _is_whole(size: int) -> bool:
    """True if the tree is one complete subtree, whose root the proof omits."""
    return size & (size - 1) == 0


def _roots_from_consistency(old_size: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the old and of the new tree that the proof gives."""
    if not path:
        raise ProofRefused("the proof is empty")
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofRefused("the proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofRefused("the proof is too short")
    return old, new
