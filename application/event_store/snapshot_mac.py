"""The MAC of a stored snapshot, by a key that is kept outside of the database.

Snapshots are no part of the log, so the ledger does not seal them, and the application's role can add rows. A snapshot
that whoever can write to the table made up has no valid MAC and is not read.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from struct import pack
from uuid import UUID

KEY_BYTES = 32
_DOMAIN = b"gridproof snapshot v1\x00"


class SnapshotMac:
    """HMAC-SHA-256 of a stored snapshot: its stream, version, topic and state.

    The state is the stored JSON, which holds the aggregate's topic, the schema of the state and its times.
    """

    def __init__(self, key: bytes) -> None:
        """Raises ValueError for a key of fewer than 32 bytes."""
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key for snapshots has at least {KEY_BYTES} bytes, not {len(key)}")
        # A label of its own: the same secret used for something else gives no valid MAC.
        self._key = hmac.digest(key, _DOMAIN, sha256)

    def of(self, stream_id: UUID, version: int, topic: str, state: bytes) -> bytes:
        """32 bytes."""
        name = topic.encode()
        place = pack("!16sqI", stream_id.bytes, version, len(name))
        return hmac.digest(self._key, place + name + state, "sha256")

    def verifies(self, mac: bytes, stream_id: UUID, version: int, topic: str, state: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(mac, self.of(stream_id, version, topic, state))
