"""Reads BMS work of single facilities, as tests want it, from a queue that delivers whole partitions."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from application.ports.dispatch.work_queue import BmsSource, BmsWorkItem, bms_partition_of


@dataclass
class BmsReader:
    """One consumer. It takes over each partition that it reads."""

    queue: BmsSource
    _taken_over: set[int] = field(default_factory=set)
    _arrived: dict[str, deque[BmsWorkItem]] = field(default_factory=lambda: defaultdict(deque))

    async def next(self, facility_id: str, *, wait_s: float) -> BmsWorkItem | None:
        """The next work of that facility; None if none came within `wait_s`."""
        partition, loop = bms_partition_of(facility_id), asyncio.get_running_loop()
        until = loop.time() + wait_s
        if partition not in self._taken_over:
            await self.queue.take_over_bms(partition)
            self._taken_over.add(partition)
        while not self._arrived[facility_id]:
            items = await self.queue.next_bms(partition, wait_s=max(until - loop.time(), 0.0))
            for item in items:
                self._arrived[item.facility_id].append(item)
            if not items and loop.time() >= until:
                return None
        return self._arrived[facility_id].popleft()
