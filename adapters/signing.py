"""Keys in files that are created once: the one that signs checkpoints, with its public half beside it, and the one for
the MACs of snapshots."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE = "ledger.key"
PUBLIC = "ledger.pub"
SNAPSHOT_KEY = "snapshot.key"
SNAPSHOT_KEY_BYTES = 32


class UnusableKey(Exception):
    """The key cannot be read, or is not a valid key."""


class Ed25519Signer:
    """Signs with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def signer_from_pem(pem: bytes, *, where: str) -> Ed25519Signer:
    """The signer of a private key. Raises UnusableKey; the text never contains the key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{where} is no private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{where} is no Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")
    return Ed25519Signer(key)


def signer_in(folder: Path) -> Ed25519Signer:
    """The signer of the key in the folder, which is created if there is none; of several processes that create one,
    one wins.

    Raises UnusableKey.
    """
    path = folder / PRIVATE
    if not path.exists():
        _create(path, _new_pem())
    try:
        signer = signer_from_pem(path.read_bytes(), where=str(path))
    except OSError as error:
        raise UnusableKey(f"the key of the ledger cannot be read: {error}") from error
    write_public_key(folder, signer.public_key)
    return signer


def create_snapshot_key(folder: Path) -> None:
    """Create the key for snapshots in the folder if there is none; of several processes that create one, one wins."""
    path = folder / SNAPSHOT_KEY
    if not path.exists():
        _create(path, secrets.token_hex(SNAPSHOT_KEY_BYTES).encode() + b"\n")


def snapshot_key_in(folder: Path) -> bytes | None:
    """The key for snapshots in the folder; None if there is none. Raises UnusableKey."""
    path = folder / SNAPSHOT_KEY
    try:
        return snapshot_key_of(path.read_bytes(), where=str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableKey(f"the key for snapshots cannot be read: {error}") from error


def snapshot_key_of(written: bytes, *, where: str) -> bytes:
    """The key of at least 64 hexadecimal digits. Raises UnusableKey; the text never contains the key."""
    try:
        key = bytes.fromhex(written.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < SNAPSHOT_KEY_BYTES:
        raise UnusableKey(
            f"{where} is no key for snapshots: it has {2 * SNAPSHOT_KEY_BYTES} hexadecimal digits; make one with "
            f"`openssl rand -hex {SNAPSHOT_KEY_BYTES}`"
        )
    return key


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _create(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)  # atomic; fails if another process was first
    except FileExistsError:
        return
    finally:
        unfinished.unlink()


def write_public_key(folder: Path, public_key: bytes) -> None:
    """Write the public half of the ledger's key, for those who verify. Raises OSError."""
    path = folder / PUBLIC
    pem = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if not path.exists() or path.read_bytes() != pem:
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        unfinished.write_bytes(pem)
        unfinished.replace(path)


def public_key_from_pem(pem: bytes, *, where: str) -> bytes:
    """The public key, 32 bytes. Raises UnusableKey."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{where} is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnusableKey(f"{where} is no Ed25519 key")
    return key.public_bytes_raw()
