"""API keys in memory."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeyNotValid,
    ApiKeysUnavailable,
    ApiKeyTaken,
    StoredApiKey,
)
from domain.administration import AdministrativeAct


class FakeApiKeys:
    def __init__(self) -> None:
        self._stored: dict[str, StoredApiKey] = {}
        self.acts: list[Any] = []
        """What was recorded in the log."""
        self.is_down = False
        self.asked = 0
        """How often keys were looked up."""

    def add(self, stored: StoredApiKey, act: AdministrativeAct) -> None:
        self._require_up()
        if stored.api_key.key_id in self._stored:
            raise ApiKeyTaken(stored.api_key.key_id)
        self._stored[stored.api_key.key_id] = stored
        self.acts += act.collect_events()

    def rotate(
        self, key_id: str, successor: StoredApiKey, *, until: datetime, acts: Sequence[AdministrativeAct]
    ) -> None:
        self._require_up()
        old = self._existing(key_id)
        ends, at = old.api_key.expires_at, successor.api_key.created_at
        if not old.api_key.is_valid(at) or (ends is not None and ends < until):
            raise ApiKeyNotValid(key_id)
        if successor.api_key.key_id in self._stored:
            raise ApiKeyTaken(successor.api_key.key_id)
        self._change(old, expires_at=until)
        self._stored[successor.api_key.key_id] = successor
        self.acts += [recorded for act in acts for recorded in act.collect_events()]

    def find(self, key_id: str) -> StoredApiKey | None:
        return self.among([key_id]).get(key_id)

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        self.asked += 1
        self._require_up()
        return {key_id: self._stored[key_id] for key_id in key_ids if key_id in self._stored}

    def listed(self, *, after: tuple[datetime, str] | None = None, limit: int | None = None) -> list[ApiKey]:
        self._require_up()
        keys = [stored.api_key for stored in self._stored.values()]
        places = [key for key in keys if after is None or (key.created_at, key.key_id) > after]
        return sorted(places, key=lambda key: (key.created_at, key.key_id))[:limit]

    def revoke(self, key_id: str, *, at: datetime, act: AdministrativeAct) -> ApiKey:
        self._require_up()
        stored = self._existing(key_id)
        if stored.api_key.revoked_at is not None:
            return stored.api_key
        self.acts += act.collect_events()
        return self._change(stored, revoked_at=at)

    def note_use(self, key_id: str, *, at: datetime) -> None:
        self._require_up()
        stored = self._stored.get(key_id)
        if stored is not None:
            before = stored.api_key.last_used_at
            if before is None or before < at - timedelta(hours=1):
                self._change(stored, last_used_at=at)

    def forget_name(self, key_id: str) -> None:
        self._require_up()
        self._change(self._existing(key_id), name=None)

    def _existing(self, key_id: str) -> StoredApiKey:
        if key_id not in self._stored:
            raise ApiKeyNotFound(key_id)
        return self._stored[key_id]

    def _change(self, stored: StoredApiKey, **fields: Any) -> ApiKey:
        changed = replace(stored.api_key, **fields)
        self._stored[changed.key_id] = replace(stored, api_key=changed)
        return changed

    def _require_up(self) -> None:
        if self.is_down:
            raise ApiKeysUnavailable("ordered to be down")
