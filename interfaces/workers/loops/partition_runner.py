"""Runs work on the partitions assigned to this worker: started when one is assigned, ended before it is given back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from application.ports.coordination.partition_assignment import PartitionAssignment

_log = structlog.get_logger(__name__)

ASK_EVERY_S = 1.0
_FACTOR_WHILE_UNASSIGNED = 0.25
"""A worker without a partition asks four times as often: after an outage of PostgreSQL no partition is worked on."""


async def run_assigned_partitions(
    shares: PartitionAssignment,
    work: Callable[[int, asyncio.Event], Coroutine[Any, Any, None]],
    stop: asyncio.Event,
    *,
    ask_every_s: float = ASK_EVERY_S,
) -> None:
    """Run until `stop`. `work(partition, ended)` must end soon after `ended` is set; its failure is raised here."""
    running: dict[int, tuple[asyncio.Event, asyncio.Task[None]]] = {}
    try:
        while not stop.is_set():
            assigned = await shares.assigned()
            await _end({p: one for p, one in running.items() if p not in assigned}, shares)
            running = {p: one for p, one in running.items() if p in assigned}
            taken = sorted(assigned - running.keys())
            for partition in taken:
                ended = asyncio.Event()
                running[partition] = (ended, asyncio.create_task(work(partition, ended)))
            if taken:
                _log.info("partitions taken", partitions=taken)
            await _sleep(running, stop, ask_every_s if running else ask_every_s * _FACTOR_WHILE_UNASSIGNED)
    finally:
        try:
            await _end(running, shares)
        finally:
            await shares.aclose()


async def _end(
    ending: dict[int, tuple[asyncio.Event, asyncio.Task[None]]], shares: PartitionAssignment
) -> None:
    """End the work, then give the partitions back: no other process may begin earlier. Raises its first failure."""
    for ended, _ in ending.values():
        ended.set()
    if ending:
        await asyncio.wait([task for _, task in ending.values()])
        _log.info("partitions given back", partitions=sorted(ending))
    for partition, (_, task) in ending.items():
        await shares.release(partition)
        task.result()


async def _sleep(
    running: dict[int, tuple[asyncio.Event, asyncio.Task[None]]], stop: asyncio.Event, seconds: float
) -> None:
    """Sleep so long, or until `stop`, or until work on a partition fails. Raises that failure."""
    stopped = asyncio.create_task(stop.wait())
    try:
        tasks = {task for _, task in running.values()}
        done, _ = await asyncio.wait({stopped, *tasks}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done & tasks:
            task.result()
    finally:
        stopped.cancel()
