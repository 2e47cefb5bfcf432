"""A signer whose key is always the same."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class FakeCheckpointSigner:
    def __init__(self, name: str = "made up") -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)
