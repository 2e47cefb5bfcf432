"""DailyUsage in memory."""

from datetime import date

from application.ports.access.daily_usage import UsageKind


class FakeDailyUsage:
    def __init__(self) -> None:
        self.used: dict[tuple[str, UsageKind, date], int] = {}

    def add(self, utility_id: str, kind: UsageKind, amount: int, *, day: date, most: int) -> bool:
        self.used = {
            key: used for key, used in self.used.items() if key[:2] != (utility_id, kind) or key[2] >= day
        }
        used = self.used.get((utility_id, kind, day), 0) + amount
        if used > most:
            return False
        self.used[utility_id, kind, day] = used
        return True
