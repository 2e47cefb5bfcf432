"""Whole commands through the bus, from two processes: load, decide, idempotency key, save.

The floor is what `append` calls so: BEGIN, INSERT, COMMIT of one row by as many clients over as many processes.
Each command begins maintenance of a facility of its own caller or ends it: one domain event and one key.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from uuid import uuid4

import psycopg

from interfaces.bench.append import INSERT, rows_of
from interfaces.bench.bed import Bed
from interfaces.bench.callers import calls_per_s
from interfaces.bench.figures import Figure, figure

PROCESSES = 2
CALLERS = 64
GO_WITHIN_S = 120.0


def command(bed: Bed) -> list[Figure]:
    """Commands a second by 64 callers over 2 processes, against INSERT + COMMIT in the same way."""
    each = bed.sized(100)
    callers = CALLERS // PROCESSES
    total = each * callers * PROCESSES
    bed.tell(f"command: {CALLERS} callers over {PROCESSES} processes, {total} commands")
    with bed.database() as database:
        floor = total / _seconds("floor", database.app_url, callers, each)
        ours = total / _seconds("ours", database.app_url, callers, each)
    details: dict[str, float | str] = {
        "commands": total,
        "processes": PROCESSES,
        "floor": "BEGIN, INSERT, COMMIT by psycopg, a connection a caller, over as many processes",
    }
    return [figure("command, 64 callers", unit="commands/s", ours=ours, floor=floor, details=details)]


def _seconds(what: str, url: str, callers: int, each: int) -> float:
    """From the go until the last process is done. Fresh processes: nothing of this one is inherited."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    children = []
    for number in range(PROCESSES):
        here, there = context.Pipe()
        child = context.Process(
            target=_floor if what == "floor" else _ours,
            args=(url, number, callers, each, there),
            daemon=True,
        )
        child.start()
        there.close()
        pipes.append(here)
        children.append(child)
    try:
        _expect_all(pipes)
        started = time.perf_counter()
        for pipe in pipes:
            pipe.send("go")
        _expect_all(pipes)
        return time.perf_counter() - started
    finally:
        for child in children:
            child.join(timeout=10)
            child.terminate()


def _expect_all(pipes: list[Connection]) -> None:
    for pipe in pipes:
        if not pipe.poll(GO_WITHIN_S):
            raise TimeoutError(f"a process of the benchmark did not answer in {GO_WITHIN_S:.0f} s")
        pipe.recv()  # EOFError where it ended


def _floor(url: str, _: int, callers: int, each: int, pipe: Connection) -> None:
    connections = [psycopg.connect(url) for _ in range(callers)]

    def call(caller: int) -> None:
        connections[caller].execute(INSERT.encode(), rows_of(1)[0], prepare=True)
        connections[caller].commit()

    pipe.send("ready")
    pipe.recv()
    calls_per_s(callers, each, call)
    pipe.send("done")
    for connection in connections:
        connection.close()


def _ours(url: str, number: int, callers: int, each: int, pipe: Connection) -> None:
    from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
    from application.deciding import CommandContext, IdempotencyKey
    from application.portfolio import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry
    from interfaces.bootstrap.bench import open_bench_stores

    stores = open_bench_stores(url)
    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )
    ids = [f"bench-{number}-{caller}" for caller in range(callers)]
    for facility_id in ids:
        entry = FacilityEntry(
            facility_id=facility_id,
            meters=(MeterEntry(meter_id="main"),),
            zones=(ZoneEntry(zone_id="hall", curtailable_kw=100.0),),
            bms=BmsEntry(address="http://127.0.0.1:1/bms"),
            programs=(),
        )
        stores.bus.handle(RegisterFacility(entry=entry), context)
    begun = [False] * callers

    def call(caller: int) -> None:
        facility_id = ids[caller]
        change = (
            EndMaintenance(facility_id=facility_id)
            if begun[caller]
            else StartMaintenance(facility_id=facility_id, reason="bench")
        )
        begun[caller] = not begun[caller]
        stores.bus.handle(change, context, key=IdempotencyKey(scope="bench", key=str(uuid4())))

    pipe.send("ready")
    pipe.recv()
    try:
        calls_per_s(callers, each, call)
        pipe.send("done")
    finally:
        stores.close()
