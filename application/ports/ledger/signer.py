"""The port for signing checkpoints of the ledger."""

from typing import Protocol


class CheckpointSigner(Protocol):
    """An Ed25519 key (RFC 8032)."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        ...
