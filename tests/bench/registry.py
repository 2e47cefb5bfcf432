"""The registry of benchmarks: name -> location of the function. A benchmark is imported when it runs."""

from collections.abc import Callable, Iterator
from importlib import import_module

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure

Benchmark = Callable[[BenchEnvironment], Iterator[Figure]]
"""Yields each figure as soon as it is measured."""

REGISTRY: dict[str, str] = {
    "api": "tests.bench.api.benchmark:api",
    "append": "tests.bench.event_store.append:append",
    "append-batch": "tests.bench.event_store.append:append_batch",
    "append-with-work": "tests.bench.event_store.append:append_with_work",
    "capacity-run": "tests.bench.capacity.benchmark:capacity_run",
    "command": "tests.bench.event_store.command:command",
    "dispatch": "tests.bench.dispatch.benchmark:dispatch",
    "dispatch-traced": "tests.bench.dispatch.benchmark:dispatch_traced",
    "forecast": "tests.bench.forecast.benchmark:forecast",
    "ingest": "tests.bench.ingest.benchmark:ingest",
    "ingest-mosquitto": "tests.bench.ingest.benchmark:ingest_mosquitto",
    "ingest-write": "tests.bench.ingest.write:ingest_write",
    "load-aggregate": "tests.bench.event_store.load_aggregate:load_aggregate",
    "project": "tests.bench.projections.catch_up:project",
    "lag": "tests.bench.projections.lag:lag",
    "rebuild": "tests.bench.projections.rebuild:rebuild",
    "restore": "tests.bench.restore:restore",
    "settle": "tests.bench.settlement.benchmark:settle",
    "stream": "tests.bench.stream.benchmark:stream",
    "verify": "tests.bench.ledger.verify:verify",
    "webhook": "tests.bench.webhook.benchmark:webhook",
}


def benchmark_named(name: str) -> Benchmark:
    """Raises KeyError for a name that is not in the registry."""
    module, _, function = REGISTRY[name].partition(":")
    benchmark: Benchmark = getattr(import_module(module), function)
    return benchmark
