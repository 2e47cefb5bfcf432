"""Benchmark command: whole commands through the bus, from two processes: load, decide, idempotency key, save.

The floor is that of `append`: INSERT and COMMIT of one row by as many of the fastest clients. Each command
starts or ends maintenance of the caller's own facility: one domain event and one key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from uuid import uuid4

from tests.bench.caller_processes import Call, start_callers
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.plain_inserts import plain_inserts
from tests.bench.rounds import best_of

PROCESSES = 2
CALLERS = 64


def command(env: BenchEnvironment) -> Iterator[Figure]:
    """Commands per second by 64 callers in 2 processes, compared with INSERT + COMMIT by the same callers."""
    each, callers = env.sized(20), env.callers(CALLERS)
    env.report(f"command: {callers} callers over {PROCESSES} processes, {each * callers} commands a round")
    with env.database() as database, ExitStack() as stack:
        floors = stack.enter_context(plain_inserts(database, callers=callers))
        contenders = {name: partial(rate, each) for name, rate in floors.items()}
        for name, making in (("ours", _ours), ("stock", _stock)):
            many = stack.enter_context(
                start_callers(making, database.app_url, callers=callers, processes=PROCESSES)
            )
            contenders[name] = partial(many.calls_per_s, each if name == "ours" else max(1, each // 5))
        best = best_of(contenders, rounds=env.rounds)
    ours, stock = best.pop("ours"), best.pop("stock")
    strictest = max(best, key=lambda name: best[name])
    yield figure(
        f"command, {callers} callers",
        unit="commands/s",
        ours=ours,
        floor=best[strictest],
        stock=stock,
        details={
            "commands": each * callers * env.rounds,
            "processes": PROCESSES,
            "floor": strictest,
            "stock": "the same bus over the library's repository and recorder, the key in its transaction",
            "best_of_rounds": env.rounds,
            **{f"{name}, per s": round(rate) for name, rate in best.items()},
            **{f"ratio to {name}": round(ours / rate, 3) for name, rate in best.items()},
        },
    )


@contextmanager
def _ours(url: str, number: int, callers: int) -> Iterator[Call]:
    with _commands(url, f"bench-{number}", callers, is_stock=False) as call:
        yield call


@contextmanager
def _stock(url: str, number: int, callers: int) -> Iterator[Call]:
    with _commands(url, f"stock-{number}", callers, is_stock=True) as call:
        yield call


@contextmanager
def _commands(url: str, prefix: str, callers: int, *, is_stock: bool) -> Iterator[Call]:
    from application.command_bus.decision_context import CommandContext, IdempotencyKey
    from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
    from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry
    from tests.bench.setup import opened_bus

    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )
    ids = [f"{prefix}-{caller}" for caller in range(callers)]
    begun = [False] * callers
    with opened_bus(url, is_stock=is_stock) as bus:
        for facility_id in ids:
            entry = FacilityEntry(
                facility_id=facility_id,
                meters=(MeterEntry(meter_id="main"),),
                zones=(ZoneEntry(zone_id="hall", curtailable_kw=100.0),),
                bms=BmsEntry(address="http://127.0.0.1:1/bms"),
                programs=(),
            )
            bus.handle(RegisterFacility(entry=entry), context)

        def call(caller: int) -> None:
            facility_id = ids[caller]
            change = (
                EndMaintenance(facility_id=facility_id)
                if begun[caller]
                else StartMaintenance(facility_id=facility_id, reason="bench")
            )
            begun[caller] = not begun[caller]
            bus.handle(change, context, key=IdempotencyKey(scope="bench", key=str(uuid4())))

        yield call
