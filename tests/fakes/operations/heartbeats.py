"""Heartbeats in memory; the test moves `now_s`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from application.ports.operations.heartbeats import (
    ConnectionRoom,
    ConnectionUse,
    Heartbeat,
    Process,
    is_running,
)


class FakeHeartbeats:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.locks: dict[int, int] = {}
        """Server process -> advisory locks that it holds."""
        self.use = ConnectionUse(used=1, most=100)
        self.sessions: set[int] = set()
        """The server processes that exist."""
        self._seen: dict[Process, tuple[float, tuple[int, ...], dict[str, str | None]]] = {}

    def beat(
        self, process: Process, *, backends: Collection[int], dependencies: Mapping[str, str | None]
    ) -> None:
        self._seen[process] = (self.now_s, tuple(sorted(backends)), dict(dependencies))

    def admit(
        self, process: Process, *, backends: Collection[int], budget_of: Callable[[str], int], reserved: int
    ) -> ConnectionRoom:
        running = [
            one.process.worker
            for one in self.listed()
            if one.process != process
            and is_running(one.age_s, has_sessions=not self.sessions.isdisjoint(one.backends))
        ]
        room = ConnectionRoom(
            taken=sum(map(budget_of, running)),
            wanted=budget_of(process.worker),
            most=self.use.most - reserved,
        )
        if room.fits:
            self.beat(process, backends=backends, dependencies={})
        return room

    def end(self, process: Process) -> None:
        self._seen.pop(process, None)

    def listed(self) -> list[Heartbeat]:
        return [
            Heartbeat(
                process=process, age_s=self.now_s - seen_s, backends=backends, dependencies=dependencies
            )
            for process, (seen_s, backends, dependencies) in sorted(self._seen.items())
        ]

    def forget(self, *, older_than_s: float) -> None:
        old = [
            process
            for process, (seen_s, *_) in self._seen.items()
            if not -60.0 <= self.now_s - seen_s <= older_than_s
        ]
        for process in old:
            del self._seen[process]

    def locks_held(self, backends: Collection[int]) -> Mapping[int, int]:
        return {backend: count for backend, count in self.locks.items() if backend in backends}

    def connection_use(self) -> ConnectionUse:
        return self.use
