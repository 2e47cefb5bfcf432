"""Heartbeats in memory; the test moves `now_s`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from application.ports.operations.heartbeats import ConnectionUse, Heartbeat, Process


class FakeHeartbeats:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.locks: dict[int, int] = {}
        """Server process -> advisory locks that it holds."""
        self.use = ConnectionUse(used=1, most=100)
        self._seen: dict[Process, tuple[float, tuple[int, ...], dict[str, str | None]]] = {}

    def beat(
        self, process: Process, *, backends: Collection[int], dependencies: Mapping[str, str | None]
    ) -> None:
        self._seen[process] = (self.now_s, tuple(sorted(backends)), dict(dependencies))

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
        old = [process for process, (seen_s, *_) in self._seen.items() if self.now_s - seen_s > older_than_s]
        for process in old:
            del self._seen[process]

    def locks_held(self, backends: Collection[int]) -> Mapping[int, int]:
        return {backend: count for backend, count in self.locks.items() if backend in backends}

    def connection_use(self) -> ConnectionUse:
        return self.use
