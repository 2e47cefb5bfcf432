"""Signed checkpoints: writing, reading and checking them, and their chain in the archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.ports.archive import Archive, NotArchived
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerStore
from domain.event_sourcing.decoders import json_decoder
from domain.ledger.entries import (
    NO_PREVIOUS_CHECKPOINT,
    Checkpoint,
    CheckpointAfterRestore,
    unhex,
)
from domain.ledger.merkle import HASH_BYTES

CHECKPOINTS = "ledger/checkpoints"
TILES = "ledger/tiles"


_CLOCKS_DIFFER = timedelta(seconds=60)
"""At most, between the hosts that seal in turn."""
_SMALL_ORDER = frozenset(
    bytes.fromhex(y)
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)
"""The points of Ed25519 of order 1, 2, 4 and 8, without their sign bits, also in encodings that RFC 8032 forbids.
For such a key one signature can hold for every document."""


class CheckpointRefused(ValueError):
    """It is not a checkpoint, or is not signed by that key."""


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint as it is archived: one JSON document in a canonical form."""

    checkpoint: Checkpoint | CheckpointAfterRestore
    signature: str
    """Ed25519 over `checkpoint.signed_bytes()`, hexadecimal."""
    public_key: str
    """The signer's key. The reader must know whether it is the right one."""

    def written(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def checkpoint_name(number: int) -> str:
    return f"{CHECKPOINTS}/{number:012d}.json"


def tile_name(log: str, first: int, entries: bytes) -> str:
    """The name includes a hash of the content, so a file left over from a crash never blocks another."""
    return f"{TILES}/{log}/{first:012d}-{sha256(entries).hexdigest()[:16]}.bin"


def sign(checkpoint: Checkpoint | CheckpointAfterRestore, signer: CheckpointSigner) -> SignedCheckpoint:
    return SignedCheckpoint(
        checkpoint=checkpoint,
        signature=signer.sign(checkpoint.signed_bytes()).hex(),
        public_key=signer.public_key.hex(),
    )


def check_signature(signed: SignedCheckpoint, public_key: bytes) -> None:
    """Raises CheckpointRefused unless that key signed it and each root matches its peaks."""
    if signed.public_key != public_key.hex():
        raise CheckpointRefused(f"it names another key, {signed.public_key}")
    if is_weak(public_key):
        raise CheckpointRefused("a signature by its key proves nothing: one may hold for every document")
    if signed.checkpoint.number < 1:
        raise CheckpointRefused("the first checkpoint has the number 1")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            unhex(signed.signature), signed.checkpoint.signed_bytes()
        )
    except (InvalidSignature, ValueError) as error:
        raise CheckpointRefused("its signature does not hold") from error
    for head in signed.checkpoint.heads:
        try:
            root = head.frontier().root().hex()
        except ValueError as error:
            raise CheckpointRefused(f"its head of {head.log} is none: {error}") from error
        if root != head.root:
            raise CheckpointRefused(f"its root of {head.log} is not that of its peaks")
    _check_map(signed.checkpoint)


def is_weak(public_key: bytes) -> bool:
    """True for a key by which anybody can sign."""
    return public_key[:31] + bytes(last & 0x7F for last in public_key[31:]) in _SMALL_ORDER


def _check_map(checkpoint: Checkpoint) -> None:
    try:
        is_root = len(unhex(checkpoint.stream_map.root)) == HASH_BYTES
    except ValueError:
        is_root = False
    if not is_root or checkpoint.stream_map.streams < 0:
        raise CheckpointRefused("its map of streams is none")


def read_checkpoint(written: bytes, public_key: bytes, *, number: int) -> SignedCheckpoint:
    """Raises CheckpointRefused unless its form, number and signature are valid."""
    try:
        signed = json_decoder(SignedCheckpoint).decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointRefused(f"it is no checkpoint: {error}") from error
    if signed.written() != written:
        raise CheckpointRefused("it is not in the canonical form of a checkpoint")
    if signed.checkpoint.number != number:
        raise CheckpointRefused(f"it is checkpoint {signed.checkpoint.number}")
    check_signature(signed, public_key)
    return signed


class ChainFinding(msgspec.Struct, frozen=True):
    """A problem with a checkpoint."""

    number: int
    detail: str


class Chain(msgspec.Struct, frozen=True):
    """Every valid checkpoint in order, and the problems of others."""

    checkpoints: tuple[SignedCheckpoint, ...]
    findings: tuple[ChainFinding, ...]


def archived_numbers(archive: Archive) -> list[int]:
    """The numbers of files with a checkpoint's name; other files are ignored."""
    stems = (name.rpartition("/")[2].removesuffix(".json") for name in archive.listed(CHECKPOINTS))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def read_chain(archive: Archive, store: LedgerStore, public_key: bytes, *, up_to: int | None = None) -> Chain:
    """All checkpoints, or those up to a number. The database's copy replaces one that is missing in the archive.

    The newest may be in the archive only: a sealer archives it first, and may be about to store it in the
    database, or have died before. The next sealer then stores it.
    """
    newest = (
        max([store.last_checkpoint_number(), *archived_numbers(archive)[-1:]]) if up_to is None else up_to
    )
    good: list[SignedCheckpoint] = []
    findings: list[ChainFinding] = []
    for number in range(1, newest + 1):
        valid: SignedCheckpoint | None = None
        for place, written in (
            ("archive", _archived(archive, number)),
            ("database", store.checkpoint(number)),
        ):
            if written is None and place == "database" and number == newest:
                continue
            try:
                found = _read_from(place, written, public_key, number)
            except CheckpointRefused as error:
                findings.append(ChainFinding(number, str(error)))
                continue
            if valid is not None and valid != found:
                findings.append(ChainFinding(number, "archive and database have two, both signed"))
            valid = valid or found
        if valid is None:
            continue
        wrong = _wrong_link(good, valid.checkpoint)
        if wrong is not None:
            findings.append(ChainFinding(number, wrong))
        good.append(valid)
    return Chain(tuple(good), tuple(findings))


def _archived(archive: Archive, number: int) -> bytes | None:
    try:
        return archive.get(checkpoint_name(number))
    except NotArchived:
        return None


def _read_from(
    place: Literal["archive", "database"] | str, written: bytes | None, public_key: bytes, number: int
) -> SignedCheckpoint:
    if written is None:
        raise CheckpointRefused(f"it is missing in the {place}")
    try:
        return read_checkpoint(written, public_key, number=number)
    except CheckpointRefused as error:
        raise CheckpointRefused(f"in the {place}: {error}") from error


def _wrong_link(good: Sequence[SignedCheckpoint], this: Checkpoint) -> str | None:
    """Why `this` cannot follow the valid checkpoints before it; None where it can."""
    if not good:
        if this.number == 1 and this.previous != NO_PREVIOUS_CHECKPOINT:
            return "it is the first and names one before it"
        return None
    before = good[-1].checkpoint
    if wrong := another_before(this, before.number, before.digest()):
        return f"{wrong} than the one that is there"
    if isinstance(this, CheckpointAfterRestore):
        return _wrong_extension(good, this)
    return _fewer_leaves(before, this, "the one before")


def _wrong_extension(good: Sequence[SignedCheckpoint], this: CheckpointAfterRestore) -> str | None:
    """Why a checkpoint after a restore cannot extend the one that it says it extends."""
    number = this.extends.number
    if not 0 <= number < this.number or (not number and this.extends.digest != NO_PREVIOUS_CHECKPOINT):
        return f"it extends checkpoint {number} {this.extends.digest}, which cannot be before it"
    extended = next((one.checkpoint for one in good if one.checkpoint.number == number), None)
    if extended is None:  # the first one, or one that is missing, which is said of that one
        return None
    if extended.digest() != this.extends.digest:
        return f"it extends another checkpoint {number} than the one that is there"
    return _fewer_leaves(extended, this, f"checkpoint {number}, which it extends")


def another_before(this: Checkpoint, number: int, digest: str) -> str | None:
    """The fault of a checkpoint that follows the one of that number, and names another digest; None: it has none."""
    is_another = this.number == number + 1 and this.previous != digest
    return "it names another checkpoint before it" if is_another else None


def wrong_successor(kept: Checkpoint, later: Checkpoint) -> str | None:
    """Why `later` cannot extend a checkpoint that was kept; None where it can."""
    if wrong := another_before(later, kept.number, kept.digest()):
        return wrong
    if later.at < kept.at - _CLOCKS_DIFFER:
        return f"it was sealed before that, at {later.at.isoformat()}"
    if later.stream_map.streams < kept.stream_map.streams:
        return "its map has fewer streams"
    return _fewer_leaves(kept, later, f"checkpoint {kept.number}")


def _fewer_leaves(before: Checkpoint, this: Checkpoint, name: str) -> str | None:
    for head in before.heads:
        if this.head_of(head.log).size < head.size:
            return f"it has fewer leaves of {head.log} than {name}"
    return None
