"""Which benchmarks there are: name -> where the function is. Imported when it is asked for."""

from collections.abc import Callable
from importlib import import_module

from interfaces.bench.bed import Bed
from interfaces.bench.figures import Figure

Benchmark = Callable[[Bed], list[Figure]]

REGISTRY: dict[str, str] = {
    "api": "interfaces.bench.api:api",
    "append": "interfaces.bench.append:append",
    "append-batch": "interfaces.bench.append:append_batch",
    "command": "interfaces.bench.command:command",
    "dispatch": "interfaces.bench.dispatch:dispatch",
    "door": "interfaces.bench.door:door",
    "forecast": "interfaces.bench.forecast:forecast",
    "ingest": "interfaces.bench.ingest:ingest",
    "ingest-mosquitto": "interfaces.bench.ingest:ingest_mosquitto",
    "ingest-write": "interfaces.bench.ingest_write:ingest_write",
    "load-aggregate": "interfaces.bench.load_aggregate:load_aggregate",
    "project": "interfaces.bench.projections:project",
    "lag": "interfaces.bench.lag:lag",
    "rebuild": "interfaces.bench.rebuild:rebuild",
    "stream": "interfaces.bench.stream:stream",
    "verify": "interfaces.bench.verify:verify",
}


def benchmark_named(name: str) -> Benchmark:
    """Raises KeyError for a name that is not in the registry."""
    module, _, function = REGISTRY[name].partition(":")
    found: Benchmark = getattr(import_module(module), function)
    return found
