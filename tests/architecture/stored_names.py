"""Names that are stored, on the wire or scraped: `stored_names.json`.

Old and new processes share these names during a rolling upgrade, and stored data outlives every release. Renaming a
class or a module must not rename any of them. After adding a name, write the file anew and read what changed:

    python tests/architecture/stored_names.py --write

`python tests/architecture/stored_names.py --print ROOT` prints the names of another checkout.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("stored_names.json")
PACKAGES = ("domain", "application", "projections", "adapters", "interfaces")

LITERALS = {
    "lock_names": [
        "archive", "bms:", "dead-letter-sla", "door-watch", "failover-watch", "forecast", "forecast-scoring",
        "forecast-watch", "ingest", "ingest ", "lag-watch", "ledger", "measure", "measure-again", "projection ",
        "raw-archive", "reconcile", "relay", "schedule", "settling-watch", "telemetry-retention",
        "rebuild of ", "parts of the rebuild of ",
    ],
    "application_names": [
        "gridproof ", "gridproof call slots", "gridproof locks", "gridproof partitions", "projection ", "rebuild ",
        "turn ", "snapshots", "log", "keys", "group commit", "streams",
    ],
    "jetstream": [
        "TELEMETRY", "telemetry.", "malformed", "aggregate-", "BMS_WORK", "bms.work", "bms-", "CALLBACK_WORK",
        "callback.work", "notify", "Nats-Msg-Id", "traceparent",
    ],
    "cache_keys": ["gridproof:answers:", "gridproof:turns:", ":weather-quota", "gridproof", "weather:", "current"],
    "notify_channels": ["demand_response_events", "projection_positions"],
}  # fmt: skip
NUMBERS = {"lock_classes": [0x7E1E, 0x7E1F, 0x7E20, 7_214_001]}
METRIC = re.compile(r"gridproof_[a-z0-9_]+")


def _modules(root: Path, packages: tuple[str, ...] = PACKAGES) -> Iterator[ast.Module]:
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            # What benchmarks and simulations of an older tree say was never stored.
            if {"bench", "simulation"} & set(file.relative_to(root).parts) or file.stem.startswith("bench_"):
                continue
            yield ast.parse(file.read_text())


def _constants(tree: ast.Module) -> Iterator[object]:
    """Every literal, docstrings apart; the constant pieces of an f-string each by itself."""
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in texts:
            yield node.value


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
    target = node.target if isinstance(node, ast.AnnAssign) else None
    return isinstance(target, ast.Name) and target.id == "ALERTS"


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
    """Each kind of name -> the names, sorted, as they stand in the checkout at `root`."""
    modules = list(_modules(root))
    constants = {constant for tree in modules for constant in _constants(tree)}
    texts = [constant for constant in constants if isinstance(constant, str)]
    literals = {kind: sorted(name for name in names if name in constants) for kind, names in LITERALS.items()}
    numbers = {kind: sorted(n for n in wanted if n in constants) for kind, wanted in NUMBERS.items()}
    migrations = sorted((root / "adapters/postgres/migrations").glob("*.sql"))
    return {
        **literals,
        **numbers,
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
