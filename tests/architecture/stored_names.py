"""Names that are stored, on the wire or scraped: `stored_names.json`.

Old and new processes share these names during a rolling upgrade, and stored data outlives every release. Renaming a
class or a module must not rename any of them. After adding a name, write the file again and review the difference:

    python tests/architecture/stored_names.py --write

`python tests/architecture/stored_names.py --print ROOT` prints the names of another checkout with the same files.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("stored_names.json")
PACKAGES = ("domain", "application", "projections", "adapters", "interfaces")

WATCH = "interfaces/workers/watch/"
READ_MODEL = "adapters/postgres/read_model/"
EVENT_STORE = "adapters/postgres/event_store/"
COORDINATION = "adapters/postgres/coordination/"
DEFINED_IN: dict[str, dict[str, tuple[str | int, ...]]] = {
    "lock_names": {
        "domain/identifiers.py": ("bms:",),
        "interfaces/workers/decide/deadlines.py": ("deadlines",),
        WATCH + "alert_expiry.py": ("alert-expiry",),
        WATCH + "batch_monitor.py": ("batch-watch",),
        WATCH + "heartbeat_monitor.py": ("heartbeat-watch",),
        WATCH + "dead_letter_monitor.py": ("dead-letter-sla",),
        WATCH + "queue_monitor.py": ("door-watch",),
        WATCH + "failover_monitor.py": ("failover-watch",),
        WATCH + "forecast_monitor.py": ("forecast-watch",),
        WATCH + "telemetry_lag_monitor.py": ("lag-watch",),
        WATCH + "rollup_monitor.py": ("settling-watch",),
        WATCH + "position_monitor.py": ("position-watch",),
        "interfaces/workers/aggregate/retention.py": ("telemetry-retention",),
        WATCH + "recovery_monitor.py": ("recovery-watch",),
        "interfaces/workers/compute/forecast.py": ("forecast",),
        "interfaces/workers/compute/scoring.py": ("forecast-scoring",),
        "interfaces/workers/archive.py": ("raw-archive",),
        "interfaces/workers/compute/measure.py": ("measure",),
        "interfaces/workers/compute/remeasure.py": ("measure-again",),
        "interfaces/workers/compute/sealing.py": ("seal-again", "seal-days"),
        "interfaces/workers/decide/relay.py": ("relay",),
        "interfaces/workers/dispatch/reconcile.py": ("reconcile",),
        "interfaces/bootstrap/health/alerts.py": ("alert-delivery",),
        "interfaces/bootstrap/kinds/ingest.py": ("ingest", "ingest "),
        "adapters/postgres/ledger/writer.py": ("ledger",),
        READ_MODEL + "projector.py": ("projection ",),
        READ_MODEL + "rebuild/lock.py": ("rebuild of ", "parts of the rebuild of "),
    },
    "lock_classes": {
        "adapters/postgres/telemetry/transaction.py": (0x7E1E,),
        "adapters/postgres/telemetry/dirty_intervals.py": (0x7E1F,),
        "adapters/postgres/telemetry/import_layers.py": (0x7E21,),
        COORDINATION + "partition_assignment.py": (0x7E20,),
        COORDINATION + "call_slots.py": (0x626D73,),
        COORDINATION + "work_holder.py": (0x776F726B,),
        "adapters/postgres/schema/migrate.py": (7_214_001,),
    },
    "application_names": {
        "adapters/postgres/connection/pool.py": ("gridproof pool",),
        "adapters/postgres/live_feed.py": ("gridproof live log",),
        "adapters/postgres/connection/dedicated_connection.py": ("gridproof ",),
        COORDINATION + "call_slots.py": ("gridproof call slots",),
        COORDINATION + "session_locks.py": ("gridproof locks",),
        COORDINATION + "partition_assignment.py": ("gridproof partitions",),
        COORDINATION + "exclusive_lock.py": ("turn ",),
        READ_MODEL + "projector.py": ("projection ",),
        READ_MODEL + "rebuild/rebuild.py": ("rebuild ",),
        EVENT_STORE + "event_store.py": ("log",),
        EVENT_STORE + "loaders.py": ("streams",),
        EVENT_STORE + "batch_writer.py": ("group commit",),
    },
    "jetstream": {
        "adapters/nats/telemetry_stream.py": ("TELEMETRY", "telemetry.", "malformed", "aggregate-", "traceparent"),
        "adapters/nats/raw_log.py": ("traceparent",),
    },
    "cache_keys": {
        "adapters/redis/shared_cache.py": ("gridproof", ":answers:", ":turns:"),
        "adapters/redis/rate_limit.py": ("gridproof",),
        "adapters/redis/weather_quota.py": ("gridproof", ":weather-quota"),
        "interfaces/bootstrap/servers.py": ("gridproof",),
        "application/weather/cached_source.py": ("weather:",),
        "application/telemetry/current_values.py": ("current",),
    },
    "notify_channels": {
        "adapters/postgres/ledger/stream_map_tables.py": ("demand_response_events",),
        READ_MODEL + "projector.py": ("demand_response_events",),
        "interfaces/bootstrap/kinds/decide.py": ("demand_response_events",),
        "adapters/postgres/live_feed.py": ("projection_positions",),
        READ_MODEL + "waits.py": ("projection_positions",),
    },
}  # fmt: skip
"""Kind of name -> file that defines it -> the names. A name counts only in that file: elsewhere the same word may have
another meaning."""
METRIC = re.compile(r"gridproof_[a-z0-9_]+")


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def _modules(root: Path, packages: tuple[str, ...] = PACKAGES) -> Iterator[ast.Module]:
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            # Names that benchmarks and simulations of an older tree use were never stored.
            if {"bench", "simulation"} & set(file.relative_to(root).parts) or file.stem.startswith("bench_"):
                continue
            yield _parsed(file)


def _constants(tree: ast.Module) -> Iterator[object]:
    """Every literal except docstrings; the constant parts of an f-string separately."""
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in texts:
            yield node.value


def missing_definitions(root: Path) -> list[str]:
    """`file: name` for each name that is missing in the file that defines it, or whose file is missing."""
    return [
        f"{file}: {name}"
        for files in DEFINED_IN.values()
        for file, names in files.items()
        for name in names
        if name not in _constants_of(root / file)
    ]


def _constants_of(file: Path) -> set[object]:
    return set(_constants(_parsed(file))) if file.exists() else set()


def _defined(root: Path, files: dict[str, tuple[str | int, ...]]) -> list[object]:
    """The names that exist in the files that define them, sorted."""
    held = {name for file, names in files.items() for name in _constants_of(root / file).intersection(names)}
    return sorted(held, key=str)


def _tags(tree: ast.Module) -> Iterator[str]:
    """Every `tag=` of a struct that is a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                if keyword.arg == "tag" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value)


def _row_fields(tree: ast.Module) -> Iterator[list[str]]:
    """The fields of each struct that is stored under a tag."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(keyword.arg == "tag" for keyword in node.keywords):
            fields = [
                line.target.id
                for line in node.body
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            ]
            yield [name for name in fields if not name.isupper()]


def _is_catalogue(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "dict[str, AlertDefinition]"


def _alerts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if _is_catalogue(node) and isinstance(node, ast.AnnAssign) and node.value is not None:
            for inner in ast.walk(node.value):
                if isinstance(inner, ast.Dict):
                    yield from (str(key.value) for key in inner.keys if isinstance(key, ast.Constant))


def _settings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield f"GRIDPROOF_{line.target.id.upper()}"


def names_of(root: Path) -> dict[str, object]:
    """Each kind of name -> the sorted names in the checkout at `root`."""
    modules = list(_modules(root))
    texts = {text for tree in modules for text in _constants(tree) if isinstance(text, str)}
    migrations = sorted((root / "adapters/postgres/migrations").glob("*.sql"))
    return {
        **{kind: _defined(root, files) for kind, files in DEFINED_IN.items()},
        "alerts": sorted({name for tree in modules for name in _alerts(tree)}),
        "metrics": sorted({name for text in texts for name in METRIC.findall(text) if "_" in name[10:]}),
        "migrations": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in migrations},
        "settings": sorted({name for tree in modules for name in _settings(tree)}),
        "stored_fields": sorted(
            fields for tree in _modules(root, ("projections",)) for fields in _row_fields(tree)
        ),
        "struct_tags": sorted({tag for tree in modules for tag in _tags(tree)}),
        "tables": sorted(
            {
                name
                for file in migrations
                for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?([\w.]+)", file.read_text())
            }
        ),
    }


def main() -> int:
    if "--print" in sys.argv:
        sys.stdout.write(json.dumps(names_of(Path(sys.argv[-1])), indent=1) + "\n")
    elif "--write" in sys.argv:
        STORED.write_text(json.dumps(names_of(ROOT), indent=1) + "\n")
    else:
        sys.stdout.write(__doc__ or "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
