"""Every proof of a tree verifies, and no other proof does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    HashTree,
    ProofRefused,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

sizes = st.integers(1, 300)


def packed(size: int) -> bytes:
    return b"".join(leaf_hash(number.to_bytes(4, "big")) for number in range(size))


def mth(hashes: list[bytes]) -> bytes:
    """MTH as defined by RFC 6962, section 2.1."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(mth(hashes[:split]), mth(hashes[split:]))


@given(st.lists(st.integers(0, 70), max_size=12))
def test_a_frontier_has_the_root_of_the_rfc_for_any_batches(batches: list[int]) -> None:
    size = sum(batches)
    leaves = packed(size)
    frontier, at = Frontier(), 0
    for batch in batches:
        frontier.extend(leaves[at * 32 : (at + batch) * 32])
        frontier = Frontier(frontier.size, frontier.peaks)  # As if stored and loaded.
        at += batch
    assert frontier.size == size
    assert frontier.root() == mth([leaves[at : at + 32] for at in range(0, len(leaves), 32)])
    assert frontier.root() == HashTree(leaves).root()


@given(sizes, st.data())
def test_an_inclusion_proof_verifies_only_for_its_leaf_and_position(size: int, data: st.DataObject) -> None:
    tree = HashTree(packed(300))
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(
        st.integers(0, size - 1).filter(lambda drawn: drawn != index) if size > 1 else st.just(-1)
    )
    leaf = packed(300)[index * 32 : index * 32 + 32]
    proof = tree.inclusion_proof(index, size)
    verify_inclusion(leaf, index, size, proof, tree.root(size))
    for wrong_leaf, wrong_index in ((leaf_hash(b"other"), index), (leaf, other)):
        with pytest.raises(ProofRefused):
            verify_inclusion(wrong_leaf, wrong_index, size, proof, tree.root(size))


@given(sizes, sizes, st.integers(0, 255), st.data())
def test_a_consistency_proof_verifies_only_for_its_two_trees(
    one: int, two: int, bit: int, data: st.DataObject
) -> None:
    tree = HashTree(packed(300))
    old, size = sorted((one, two))
    proof = tree.consistency_proof(old, size)
    verify_consistency(old, tree.root(old), size, tree.root(size), proof)
    flipped = bytearray(tree.root(old))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProofRefused):
        verify_consistency(old, bytes(flipped), size, tree.root(size), proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        wrong = [*proof[:at], leaf_hash(b"other"), *proof[at + 1 :]]
        with pytest.raises(ProofRefused):
            verify_consistency(old, tree.root(old), size, tree.root(size), wrong)
