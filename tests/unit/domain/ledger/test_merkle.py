"""The tree of RFC 6962, with the reference vectors of Certificate Transparency."""

import pytest

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

LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (index, size) -> the path, and (old size, size) -> the proof, as the reference implementation gives them.
PATHS: dict[tuple[int, int], list[str]] = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
PROOFS: dict[tuple[int, int], list[str]] = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
PACKED = b"".join(map(leaf_hash, LEAVES))


def hexed(hashes: tuple[bytes, ...]) -> list[str]:
    return [one.hex() for one in hashes]


def test_the_empty_tree_has_the_root_of_the_reference() -> None:
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT.hex() == HashTree(b"").root().hex() == Frontier().root().hex() == expected


@pytest.mark.parametrize("size", range(1, 9))
def test_each_size_has_the_root_of_the_reference(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.extend(leaf_hash(leaf))
    assert frontier.root().hex() == HashTree(PACKED).root(size).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("place", "path"), PATHS.items())
def test_an_inclusion_path_equals_the_reference(place: tuple[int, int], path: list[str]) -> None:
    assert hexed(HashTree(PACKED).inclusion_proof(*place)) == path


@pytest.mark.parametrize(("sizes", "proof"), PROOFS.items())
def test_a_consistency_proof_equals_the_reference(sizes: tuple[int, int], proof: list[str]) -> None:
    assert hexed(HashTree(PACKED).consistency_proof(*sizes)) == proof


def test_a_leaf_hash_differs_from_a_node_hash() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize(("size", "peaks"), [(1, []), (3, [b"x" * 32]), (1, [b"short"]), (-1, [])])
def test_a_frontier_needs_one_peak_for_each_bit_of_its_size(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="peaks"):
        Frontier(size, peaks)


def test_a_partial_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().extend(b"x" * 33)


@pytest.mark.parametrize("place", [(-1, 8), (8, 8), (0, 9), (0, 0)])
def test_a_proof_of_an_absent_leaf_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        HashTree(PACKED).inclusion_proof(*place)
    with pytest.raises(ProofRefused):
        verify_inclusion(leaf_hash(b""), *place, (), EMPTY_ROOT)


@pytest.mark.parametrize("sizes", [(0, 8), (5, 4), (1, 9)])
def test_a_proof_between_absent_trees_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no proof"):
        HashTree(PACKED).consistency_proof(*sizes)


def test_a_proof_that_is_too_long_or_too_short_is_refused() -> None:
    tree = HashTree(PACKED)
    path, proof = tree.inclusion_proof(5), tree.consistency_proof(6)
    for wrong in (path[:-1], (*path, path[0]), ()):
        with pytest.raises(ProofRefused):
            verify_inclusion(leaf_hash(LEAVES[5]), 5, 8, wrong, tree.root())
    for wrong in (proof[:-1], (*proof, proof[0]), ()):
        with pytest.raises(ProofRefused):
            verify_consistency(6, tree.root(6), 8, tree.root(), wrong)
