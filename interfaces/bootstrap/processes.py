"""Start of each worker process: `gridproof worker NAME`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import uvloop

from application.operations.process_kinds import POOL, WEB
from interfaces.bootstrap import kinds
from interfaces.bootstrap.clock import measuring
from interfaces.bootstrap.connection_budget import connection_budget, enforce_budget
from interfaces.bootstrap.health.admission import admit
from interfaces.bootstrap.health.process import (
    recording_spans,
    reporting,
    serving_probes,
)
from interfaces.bootstrap.servers import wait_for_database
from interfaces.bootstrap.stores import Stores, database_url, open_stores
from interfaces.extras import require_extras_of
from interfaces.gc_tuning import collect_garbage_seldom
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from interfaces.workers.loops.probe_server import ProbeServer

THREADS = 32

Run = Callable[[Stores, asyncio.Event], Awaitable[None]]


def run_worker(name: str, settings: Settings) -> None:
    """Run the worker until SIGTERM or SIGINT.

    Raises ExtraMissing before anything starts, and any error that ends the worker; a supervisor restarts it.
    """
    from interfaces.logs import configure_logs

    os.umask(0o077)  # the archive and the ledger's key are for this user alone
    settings = replace(settings, migration_database_url=None)  # the owner's role is for `gridproof migrate`
    configure_logs(settings, process=name)
    require_extras_of([name])
    enforce_budget(name, settings)
    with recording_spans(name, settings):
        if name == WEB:
            wiring_of(name).run_web(settings)
            return
        pool_size = connection_budget(name, settings)["pool"]
        with serving_probes(name, settings) as server:
            uvloop.run(
                run_until_stopped(wiring_of(name).run, settings, pool_size=pool_size, report=(name, server))
            )


def wiring_of(name: str) -> ModuleType:
    """The module that wires this kind of process."""
    return import_module(f"{kinds.__name__}.{name}")


async def run_until_stopped(
    run: Run,
    settings: Settings,
    *,
    pool_size: int = POOL,
    report: tuple[str, ProbeServer] | None = None,
) -> None:
    """Run with newly opened stores until SIGTERM or SIGINT. `report`: its worker and probes, if it reports."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    if not await wait_for_database(database_url(settings), stop):
        return
    stores = open_stores(settings, pool_size=pool_size, is_start=True)
    try:
        if report is not None and not await admit(report[0], stores, stop):
            return
        collect_garbage_seldom()
        report_it = reporting(report[0], stores, report[1]) if report else nullcontext()
        async with measuring(stores.clock_monitor), report_it:
            await run(stores, stop)
    finally:
        stores.close()
