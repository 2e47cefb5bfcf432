"""Utilities in memory."""

from datetime import datetime

from msgspec.structs import replace

from application.facility.portfolio_entries import UtilityEntry


class FakeUtilities:
    def __init__(self) -> None:
        self._entries: dict[str, UtilityEntry] = {}

    def keep(self, entry: UtilityEntry, *, at: datetime) -> bool:
        known = self._entries.get(entry.utility_id)
        if known is not None and entry.webhook_v1_until is None:
            entry = replace(entry, webhook_v1_until=known.webhook_v1_until)
        changed = known != entry
        self._entries[entry.utility_id] = entry
        return changed

    def find(self, utility_id: str) -> UtilityEntry | None:
        return self._entries.get(utility_id)

    def listed(self) -> list[UtilityEntry]:
        return [self._entries[utility_id] for utility_id in sorted(self._entries)]
