"""Benchmark ingest: telemetry from meter to API (generator, broker, ingest, log, aggregate with rollups, response).

Real servers and worker processes, with processor time measured per process. The broker is a separate server from the
log's: a nats-server (acknowledged messages are on disk) or Mosquitto (in memory). During a run as many readings of an
earlier, stored quarter-hour are finalized into rollups, and each facility has sent a reading in the current
quarter-hour before, so that a reading has its steady-state cost. The floor is the same broker and generator with a
subscriber that does nothing.

Latency is measured for every reading, from its due time (so a late generator counts) to its commit, by PostgreSQL's
commit timestamps. The API is queried twenty times a second to measure when readings become visible (readable.py); the
figures include PostgreSQL's cost of that, but not the API process. Lost readings are counted by sequence numbers,
duplicates in the chunks of finalized quarter-hours and in the rollups.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import msgspec
import psycopg

from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.simulators.meters.load_plan import LoadAudit, audit
from tests.bench.capacity.process_use import cpu_s
from tests.bench.environment import MIN_MEASUREMENT_SCALE, BenchEnvironment
from tests.bench.figures import Figure
from tests.bench.ingest.api_setup import ReadingApi, reading_api
from tests.bench.ingest.commit_times import COMMITTED, keep_commit_times
from tests.bench.ingest.floor import Bare, NewBroker, floors_of, us
from tests.bench.ingest.history import History, first_words, stored_history
from tests.bench.ingest.listing import list_meters
from tests.bench.ingest.load import Sent, Shape, new_name, sent
from tests.bench.ingest.load_figures import Measured, figures_of
from tests.bench.ingest.readable import Question, facility_of, queried_senders, query_while_loading, readable
from tests.bench.ingest.setup import (
    CAUGHT_UP_WITHIN_S,
    IngestSetup,
    mosquitto_broker,
    nats_broker,
    open_ingest_setup,
)

SHAPES = (
    Shape("6,700/s one per message", 6_700.0),
    Shape("20,000/s one per message", 20_000.0),
    Shape("67,000/s from gateways of 10", 67_000.0, gateway=10),
)
SECONDS = 30.0
FINALIZED_FIRST = 300_000
_LOOK_EVERY_S = 0.25
_WARM = Shape("warm", 80.0)
_LATENCIES_MS = """
SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (
    ORDER BY 1000 * extract(epoch FROM committed_at - ts)::float8)
"""
_COUNT = """
SELECT count(*) FROM gridproof.stored_chunks, unnest(seq) AS number
WHERE facility_id >= %s AND facility_id < %s AND (number >= 0) = %s
"""


def ingest(env: BenchEnvironment) -> Iterator[Figure]:
    """Processor time per reading by hop, and latency to the store, at three shapes of load."""
    yield from _measured(env, nats_broker)


def ingest_mosquitto(env: BenchEnvironment) -> Iterator[Figure]:
    """The same with Mosquitto; no figures where it is not installed."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        env.report("ingest: there is no mosquitto on this machine")
        return
    yield from _measured(env, lambda: mosquitto_broker(Path(program)))


def _measured(env: BenchEnvironment, new_broker: NewBroker) -> Iterator[Figure]:
    seconds = max(1.0, SECONDS * env.scale)
    slower = min(1.0, env.scale / MIN_MEASUREMENT_SCALE)
    shapes = [
        msgspec.structs.replace(shape, readings_per_s=max(80.0, shape.readings_per_s * slower))
        for shape in SHAPES
    ]
    floors = floors_of(env, new_broker, shapes, seconds)
    with ExitStack() as stack:
        broker = stack.enter_context(new_broker())
        setup = stack.enter_context(open_ingest_setup(broker))
        stores = stack.enter_context(closing(open_stores(setup.settings)))
        finalized_first = stored_history(env, stores, "alone", round(FINALIZED_FIRST * min(1.0, env.scale)))
        histories = [
            stored_history(env, stores, f"past{n}", round(shape.readings_per_s * seconds))
            for n, shape in enumerate(shapes)
        ]
        plans = [shape.plan(new_name()) for shape in shapes]
        queried = [facility_of(plan, sender) for plan in plans for sender in queried_senders(plan)]
        api = stack.enter_context(reading_api(setup, stores, queried))
        for plan in plans:
            list_meters(setup.admin_url, plan)
        path = stack.enter_context(closing(_Path(setup, stores, api)))
        path.start()
        env.report("ingest: rollups alone")
        path.finalize_only(finalized_first)
        for shape, plan, floor, history in zip(shapes, plans, floors, histories, strict=True):
            env.report(f"ingest: {shape.name}, the whole way")
            yield from path.figures(shape, plan.run, floor, history, seconds)


class _Path:
    """The whole pipeline; `start` starts its workers."""

    def __init__(self, setup: IngestSetup, stores: Stores, api: ReadingApi) -> None:
        self._stage = setup
        self._api = api
        self._stores = stores
        self._broker = setup.broker.name if setup.broker is not None else "the log's server"
        self._log = psycopg.connect(setup.admin_url, autocommit=True)
        # The benchmark's own queries are excluded from the figures.
        self._log.execute("SET max_parallel_workers_per_gather = 0")
        self._rollups_us = 0.0

    def close(self) -> None:
        self._log.close()

    def start(self) -> None:
        """Start the workers and wait for readings: the broker drops messages published before a subscription."""
        # Vacuum the prepared rows here, so that the first load does not pay for it.
        self._log.execute("VACUUM ANALYZE")
        keep_commit_times(self._log)
        for name in ("ingest", "aggregate"):
            self._stage.start_worker(name)
        deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
        warm = new_name()
        list_meters(self._stage.admin_url, _WARM.plan(warm))
        while not self._count(sent(_WARM, self._stage.meters_mqtt_url, 1.0, run=warm).report.plan.run):
            if time.monotonic() > deadline:
                raise TimeoutError("no reading reached the store")

    def finalize_only(self, history: History) -> None:
        """The cost of finalizing rollups while no meter sends."""
        before = self._cpu_s()
        history.start_finalizing(self._log)
        deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
        while history.unfinalized(self._log):
            if time.monotonic() > deadline:
                raise TimeoutError("nobody settles quarter-hours")
            time.sleep(_LOOK_EVERY_S)
        after = self._cpu_s()
        spent = sum(after[name] - before[name] for name in ("aggregate", "postgres"))
        self._rollups_us = us(spent, history.readings)

    def figures(self, shape: Shape, run: str, floor: Bare, history: History, seconds: float) -> list[Figure]:
        rows = self._scalar("SELECT coalesce(sum(cardinality(ts)), 0) FROM gridproof.stored_chunks", ())
        self._introduce(shape, run)
        before, began = self._cpu_s(), time.perf_counter()
        history.start_finalizing(self._log)
        questions: list[Question] = []
        load = sent(
            shape,
            self._stage.meters_mqtt_url,
            seconds,
            run=run,
            beside=lambda plan: query_while_loading(self._api, plan, seconds, questions),
        )
        self._until_stored(load, history)
        measured = Measured(
            load=load,
            took_s=time.perf_counter() - began,
            hops_s={name: spent - before[name] for name, spent in self._cpu_s().items()},
            latencies_ms=self._latencies(run, load.report.plan.started_at),
            found=self._audit(load),
            shown=readable(questions),
            settled=history.readings,
            rows_before=rows,
            rollups_us=self._rollups_us,
        )
        return figures_of(f"ingest by {self._broker}, {shape.name}", measured, floor)

    def _cpu_s(self) -> dict[str, float]:
        ours = {self._log.info.backend_pid}
        return {name: cpu_s(pid, without=ours) for name, pid in self._stage.pids.items()}

    def _introduce(self, shape: Shape, run: str) -> None:
        words = first_words(shape.plan(run))
        self._stage.put_into_log(words)
        deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
        while self._count(run, numbered=False) < len(words):
            if time.monotonic() > deadline:
                raise TimeoutError("the facilities' first readings did not reach the store")
            time.sleep(_LOOK_EVERY_S)

    def _until_stored(self, load: Sent, history: History) -> None:
        """Wait until all readings are stored and finalized, or no more arrive; the audit then counts the lost ones."""
        most, last_news = -1, time.monotonic()
        while time.monotonic() < last_news + CAUGHT_UP_WITHIN_S / 4:
            count = self._count(load.report.plan.run)
            if count >= load.report.readings and not history.unfinalized(self._log):
                return
            if count > most:
                most, last_news = count, time.monotonic()
            time.sleep(_LOOK_EVERY_S)

    def _count(self, run: str, *, numbered: bool = True) -> int:
        return self._scalar(_COUNT, (f"{run}-", f"{run}.", numbered))

    def _scalar(self, query: str, parameters: tuple[object, ...]) -> int:
        row = self._log.execute(query.encode(), parameters).fetchone()
        return int(row[0]) if row else 0

    def _latencies(self, run: str, since: datetime) -> tuple[float, float, float]:
        span = {"first": f"{run}-", "last": f"{run}.", "since": since, "until": self._stores.clock.now()}
        row = self._log.execute(f"{_LATENCIES_MS} FROM ({COMMITTED}) AS readable".encode(), span).fetchone()
        p50, p99, longest = row[0] if row and row[0] else (0.0, 0.0, 0.0)
        return p50, p99, longest

    def _audit(self, load: Sent) -> LoadAudit:
        return audit(load.report.plan, load.report.messages, self._stores.stored_readings())
