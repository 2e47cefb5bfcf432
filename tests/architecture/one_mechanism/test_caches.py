"""Caches and limits of one process are made by one class each (docs/architecture.md, "One place for each job")."""

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.source_tree import (
    PACKAGES,
    ROOT,
    class_name,
    imported_modules,
    parsed,
    place,
    python_files,
)

Check = Callable[[ast.Module], Iterator[ast.AST]]


def offenders(check: Check, *folders: str, allowed: tuple[str, ...]) -> list[str]:
    """Where the modules below `folders` do the job, except in the `allowed` ones."""
    places = {ROOT / path for path in allowed}
    files = [file for file in python_files(*folders) if file not in places]
    return [place(file, node) for file in files for node in check(parsed(file))]


CACHE = "application/bounded_cache.py"
# Bounded, but no caches: what is dropped cannot be read again from elsewhere, or is of one moment.
NO_CACHES = {
    "adapters/postgres/read_model/audit_layout.py": "texts of one COPY: `dict.__missing__`, for each of its rows",
    "application/telemetry/current_values.py": "facilities that wait to be written: a queue without duplicates",
    "application/telemetry/ingest/late_days.py": "the days that are open",
    "application/telemetry/ingest/malformed_quota.py": "messages that were not stored, which are reported",
    "interfaces/simulators/bms/building.py": "the receipts that a simulated device remembers",
    "interfaces/web/broadcast/ring_buffer.py": "chunks of the messages in the buffer, until the next publication",
    "interfaces/workers/ingest/ingest.py": "alert switches: one that is dropped still has its alert to clear",
    "projections/engine/rebuild_rows.py": "the rows of one rebuild, which are written before",
}
_EVICTIONS = re.compile(r"\.clear\(\)|\.popitem\(|next\(iter\(")


def hand_made_caches(tree: ast.Module) -> Iterator[ast.AST]:
    """Each OrderedDict, and each place that removes entries of a collection because they are too many."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and class_name(node.func) == "OrderedDict":
            yield node
        if isinstance(node, ast.If | ast.While) and _counts(node.test):
            body = "\n".join(map(ast.unparse, node.body))
            if _EVICTIONS.search(body) and "yield" not in body:  # a buffer hands on what it drops
                yield node


def _counts(test: ast.expr) -> bool:
    calls = (node for node in ast.walk(test) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "len" for call in calls)


def library_caches(tree: ast.Module) -> Iterator[ast.AST]:
    for node, module in imported_modules(tree):
        if module.partition(".")[0] == "cachetools":
            yield node


def test_every_cache_is_a_bounded_cache() -> None:
    assert offenders(hand_made_caches, *PACKAGES, allowed=(CACHE, *NO_CACHES)) == []
    assert [path for path in NO_CACHES if not list(hand_made_caches(parsed(ROOT / path)))] == []
    # Lists as of a position have LRUCache under a lock of their own: projections import nothing of application.
    places = (CACHE, "projections/as_of/lists.py")
    assert offenders(library_caches, *PACKAGES, allowed=places) == []
    assert all(list(library_caches(parsed(ROOT / place))) for place in places)


def limiters(tree: ast.Module) -> Iterator[ast.AST]:
    """Imports of the library `limits`, and classes that are buckets by their name."""
    for node, module in imported_modules(tree):
        if module.partition(".")[0] == "limits":
            yield node
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Bucket"):
            yield node


def test_senders_are_limited_in_one_place_for_a_process_and_one_for_all() -> None:
    places = ("adapters/redis/rate_limit.py", "application/access/token_bucket.py")
    assert offenders(limiters, *PACKAGES, allowed=places) == []
    assert all(list(limiters(parsed(ROOT / place))) for place in places)


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (hand_made_caches, "cache = OrderedDict()"),
        (hand_made_caches, "cache: OrderedDict[str, int] = OrderedDict()"),
        (hand_made_caches, "cache = collections.OrderedDict[str, int]()"),
        (hand_made_caches, "if len(cache) >= MOST:\n    cache.clear()"),
        (hand_made_caches, "while len(self._cached) > MOST:\n    self._cached.popitem()"),
        (hand_made_caches, "if len(cache) > MOST:\n    del cache[next(iter(cache))]"),
        (limiters, "from limits import RateLimitItemPerSecond"),
        (limiters, "class LeakyBucket:\n    pass"),
        (library_caches, "import cachetools"),
        (library_caches, "from cachetools import TTLCache"),
    ],
)
def test_a_second_place_is_detected(check: Check, code: str) -> None:
    assert list(check(ast.parse(code)))
