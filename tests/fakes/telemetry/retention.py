"""Retention of telemetry in memory; it passes the same contract suite as PostgreSQL's."""

from datetime import UTC, date, datetime


class FakeTelemetryRetention:
    """`days` maps each day with storage to the age of its storage in wall seconds."""

    def __init__(self, store_now: datetime | None = None) -> None:
        self.days: dict[date, float] = {}
        self.rollups: list[datetime] = []
        self.store_now = store_now

    def raw_days(self) -> list[date]:
        return sorted(self.days)

    def drop_raw_day(self, day: date, *, min_age_wall_s: float) -> bool:
        if self.days.get(day, min_age_wall_s) < min_age_wall_s:
            return False
        self.days.pop(day, None)
        return True

    def delete_rollups_before(self, moment: datetime, *, limit: int) -> int:
        due = sorted(at for at in self.rollups if at < moment)[:limit]
        gone = set(due)
        self.rollups = [at for at in self.rollups if at not in gone]
        return len(due)

    def now(self) -> datetime:
        return self.store_now or datetime.max.replace(tzinfo=UTC)
