"""API keys in memory."""

from collections.abc import Collection
from datetime import datetime

from msgspec.structs import replace

from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeysUnavailable,
    ApiKeyTaken,
    StoredApiKey,
)


class FakeApiKeys:
    def __init__(self) -> None:
        self._stored: dict[str, StoredApiKey] = {}
        self.is_down = False
        self.asked = 0
        """How often keys were looked up."""

    def add(self, stored: StoredApiKey) -> None:
        self._require_up()
        if stored.api_key.key_id in self._stored:
            raise ApiKeyTaken(stored.api_key.key_id)
        self._stored[stored.api_key.key_id] = stored

    def find(self, key_id: str) -> StoredApiKey | None:
        return self.among([key_id]).get(key_id)

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        self.asked += 1
        self._require_up()
        return {key_id: self._stored[key_id] for key_id in key_ids if key_id in self._stored}

    def listed(self) -> list[ApiKey]:
        self._require_up()
        keys = [stored.api_key for stored in self._stored.values()]
        return sorted(keys, key=lambda key: (key.created_at, key.key_id))

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        self._require_up()
        if key_id not in self._stored:
            raise ApiKeyNotFound(key_id)
        stored = self._stored[key_id]
        revoked = replace(stored.api_key, revoked_at=stored.api_key.revoked_at or at)
        self._stored[key_id] = replace(stored, api_key=revoked)
        return revoked

    def _require_up(self) -> None:
        if self.is_down:
            raise ApiKeysUnavailable("ordered to be down")
