"""The floor of saves: INSERT + COMMIT of the same rows without an event store, by the fastest client.

Clients: psycopg in one process, psycopg in two, and pgbench where available; with and without an explicit BEGIN.
The fastest is the floor.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.bench.caller_processes import Call, Making, start_callers
from tests.bench.callers import calls_per_s
from tests.bench.environment import BenchDatabase

STATE = b'{"filled":"' + b"x" * 168 + b'"}'
TOPIC = "facility.registered.v1"
PROCESSES = 2
_INSERT = "INSERT INTO gridproof.plain_inserts (originator_id, originator_version, topic, state) VALUES "
# A table like the log, but without its trigger: these clients do not take the lock that orders the log.
_TABLE = """
CREATE TABLE IF NOT EXISTS gridproof.plain_inserts (LIKE gridproof.demand_response_events INCLUDING ALL);
GRANT INSERT ON gridproof.plain_inserts TO gridproof_app
"""
Row = tuple[UUID, int, str, bytes]
Rate = Callable[[int], float]
"""Saves per second, given the number of saves per caller."""


def rows_of(events: int) -> list[Row]:
    """The domain events of one save."""
    stream = uuid4()
    return [(stream, version, TOPIC, STATE) for version in range(1, events + 1)]


@contextmanager
def plain_inserts(database: BenchDatabase, *, callers: int, events: int = 1) -> Iterator[dict[str, Rate]]:
    """Name -> rate, of saves of `events` rows."""
    url = database.app_url
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(_TABLE)
    with ExitStack() as stack:
        rates: dict[str, Rate] = {}
        for name, in_transaction in (("psycopg BEGIN INSERT COMMIT", True), ("psycopg INSERT", False)):
            call = stack.enter_context(_clients(url, callers, events, in_transaction=in_transaction))
            rates[name] = partial(_by_threads, call, callers)
        if callers >= PROCESSES:
            clients: Making = partial(_process, events=events)
            spread = stack.enter_context(start_callers(clients, url, callers=callers, processes=PROCESSES))
            rates[f"psycopg INSERT, {PROCESSES} processes"] = spread.calls_per_s
        if database.pgbench is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gridproof-bench-")))
            for name, script in (
                ("pgbench BEGIN INSERT COMMIT", f"BEGIN;\n{_statement(events)};\nCOMMIT;\n"),
                ("pgbench INSERT", f"{_statement(events)};\n"),
            ):
                path = folder / f"{name}.sql"
                path.write_text(script)
                rates[name] = partial(_by_pgbench, database.pgbench, url, path, callers)
        yield rates


@contextmanager
def _clients(url: str, callers: int, events: int, *, in_transaction: bool) -> Iterator[Call]:
    statement = (_INSERT + ", ".join(["(%s, %s, %s, %s)"] * events)).encode()
    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(url, autocommit=not in_transaction)) for _ in range(callers)
        ]

        def call(caller: int) -> None:
            values = [value for row in rows_of(events) for value in row]
            connections[caller].execute(statement, values, prepare=True)
            if in_transaction:
                connections[caller].commit()

        yield call


@contextmanager
def _process(url: str, _: int, callers: int, *, events: int) -> Iterator[Call]:
    with _clients(url, callers, events, in_transaction=False) as call:
        yield call


def _by_threads(call: Call, callers: int, each: int) -> float:
    return calls_per_s(callers, each, call)


def _statement(events: int) -> str:
    """The server generates the stream id; topic and state are sent as parameters, as by the other clients."""
    if events == 1:
        return _INSERT + "(gen_random_uuid(), 1, :topic, :state)"
    rows = [_place(version) for version in range(1, events + 1)]
    return "WITH stream AS MATERIALIZED (SELECT gen_random_uuid() AS id) " + _INSERT + ", ".join(rows)


def _place(version: int) -> str:
    return f"((SELECT id FROM stream), {version}, :topic, :state)"


def _by_pgbench(program: Path, url: str, script: Path, callers: int, each: int) -> float:
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    done = subprocess.run(
        [
            str(program), "--no-vacuum", "--protocol=prepared", f"--client={callers}", f"--file={script}",
            f"--jobs={min(callers, PROCESSES)}", f"--transactions={each}",
            f"--define=topic={TOPIC}", f"--define=state=\\x{STATE.hex()}",
            f"--host={parts['host']}", f"--port={parts['port']}", f"--username={parts['user']}", parts["dbname"],
        ],
        env={**os.environ, "PGPASSWORD": parts["password"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])
