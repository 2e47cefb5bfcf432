"""The live log in memory, and its signal."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from application.ports.live_feed import SERVING, LiveEntry, LiveLogUnavailable, LiveUpdate, ReadModelState

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class FakeLiveLog:
    """Every read model has applied everything recorded at once, unless `positions` says otherwise."""

    def __init__(self) -> None:
        self.log: list[LiveEntry] = []
        self.positions: dict[str, int] = {}
        self.stopped: set[str] = set()
        self.is_down = False
        self.stored_at: datetime | None = None

    def record(
        self,
        topic: str = "dispatch.committed.v1",
        *,
        dr_event_id: UUID | None = None,
        facility_id: str | None = None,
        gap: int = 0,
    ) -> int:
        """Record an entry after `gap` unused positions. Returns its position."""
        position = self.head + 1 + gap
        self.log.append(
            LiveEntry(
                position=position,
                topic=topic,
                occurred_at=AT,
                dr_event_id=dr_event_id,
                facility_id=facility_id,
            )
        )
        return position

    @property
    def head(self) -> int:
        return self.log[-1].position if self.log else 0

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        self._require_up()
        read_update = LiveUpdate(head=self.head, read_models=tuple(map(self._state, SERVING)))
        if after is None:
            return read_update
        found = self._between(after, read_update.served_until)[:limit]
        return LiveUpdate(head=read_update.head, read_models=read_update.read_models, entries=tuple(found))

    def entries(self, after: int, until: int, *, limit: int) -> list[LiveEntry]:
        self._require_up()
        return self._between(after, until)[:limit]

    def readings_stored_at(self) -> datetime | None:
        self._require_up()
        return self.stored_at

    def check(self) -> None:
        self._require_up()

    def close(self) -> None: ...

    def _state(self, name: str) -> ReadModelState:
        position = self.positions.get(name, self.head)
        ahead = self._between(position, self.head)
        return ReadModelState(
            name=name,
            position=position,
            is_stopped=name in self.stopped,
            behind_since=ahead[0].occurred_at if ahead else None,
        )

    def _between(self, after: int, until: int) -> list[LiveEntry]:
        return [entry for entry in self.log if after < entry.position <= until]

    def _require_up(self) -> None:
        if self.is_down:
            raise LiveLogUnavailable("ordered to be down")


class FakeLogSignal:
    """Signals frequently, whether anything was recorded or not."""

    def __init__(self, every_s: float = 0.005) -> None:
        self._every_s = every_s

    async def wait(self, heartbeat_s: float) -> None:
        await asyncio.sleep(min(heartbeat_s, self._every_s))

    async def aclose(self) -> None: ...


def positions_of(entries: Iterable[LiveEntry]) -> list[int]:
    return [entry.position for entry in entries]
