"""Sessions in memory, with a clock that the test sets."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from application.access.sessions import MAX_SESSIONS_PER_KEY
from application.ports.access.api_keys import ApiKeysUnavailable
from application.ports.access.sessions import Session


class FakeSessions:
    def __init__(self) -> None:
        self._begun: dict[bytes, tuple[str, datetime]] = {}
        self.now = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
        self.is_down = False
        self.looks = 0

    def begin(self, token_hash: bytes, key_id: str, *, lasts_s: float) -> Session:
        self._require_up()
        self._begun = {name: begun for name, begun in self._begun.items() if begun[1] > self.now}
        of_key = sorted((at, name) for name, (key, at) in self._begun.items() if key == key_id)
        for _, name in of_key[: max(0, len(of_key) - MAX_SESSIONS_PER_KEY + 1)]:
            del self._begun[name]
        self._begun[token_hash] = (key_id, self.now + timedelta(seconds=lasts_s))
        return self._session(token_hash)

    def among(self, token_hashes: Collection[bytes]) -> dict[bytes, Session]:
        self._require_up()
        self.looks += 1
        return {
            token_hash: self._session(token_hash)
            for token_hash in token_hashes
            if token_hash in self._begun and self._begun[token_hash][1] > self.now
        }

    def end(self, token_hash: bytes) -> None:
        self._require_up()
        self._begun.pop(token_hash, None)

    def _session(self, token_hash: bytes) -> Session:
        key_id, expires_at = self._begun[token_hash]
        lasts_s = (expires_at - self.now).total_seconds()
        return Session(key_id=key_id, expires_at=expires_at, lasts_s=lasts_s)

    def _require_up(self) -> None:
        if self.is_down:
            raise ApiKeysUnavailable("ordered to be down")
