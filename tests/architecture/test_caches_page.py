"""docs/guides/caches.md: each with its file, size and lifetime, as the code has them."""

import ast
import re
from datetime import timedelta
from functools import cache
from importlib import import_module

from tests.architecture.source_tree import PACKAGES, ROOT, class_name, parsed, python_files
from tests.architecture.table_pages import table_rows

GUIDE = ROOT / "docs/guides/caches.md"
HEADING = ("cache", "in", "at most", "lifetime")
CONSTANT = re.compile(r"`(\w+)` = ([\d,]+)")
UNTIL_EVICTED = "until evicted"
# Class -> the file that defines it. Each takes the name of its cache as its first argument.
CACHES = {
    "BoundedCache": "application/bounded_cache.py",
    "TokenBuckets": "application/access/token_bucket.py",
    "SharedBuckets": "application/access/token_bucket.py",
    "LookupCache": "interfaces/web/caching/lookup_cache.py",
}


@cache
def cache_calls() -> list[tuple[str, str, ast.Call]]:
    """The name of each cache, the file that makes it, and the call."""
    return [
        (node.args[0].value, str(file.relative_to(ROOT)), node)
        for file in python_files(*PACKAGES)
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and class_name(node.func) in CACHES and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    ]


@cache
def rows() -> list[tuple[str, str, str, str]]:
    found = [row for row in table_rows(GUIDE, HEADING) if len(row) == len(HEADING) and row[1].startswith("`")]
    return [(name, path.strip("`"), most, lifetime) for name, path, most, lifetime in found if ".py" in path]


def test_the_guide_lists_each_cache_once_with_its_file() -> None:
    assert sorted((name, path) for name, path, _, _ in rows()) == sorted(
        {(name, path) for name, path, _ in cache_calls()}
    )


def test_a_size_or_lifetime_in_the_guide_is_that_of_the_code() -> None:
    classes = {(name, path): class_name(call.func) for name, path, call in cache_calls()}
    wrong = [
        f"{name}: {constant} is {value}"
        for name, path, most, lifetime in rows()
        for constant, stated in CONSTANT.findall(f"{most} {lifetime}")
        if (value := _value_of(constant, path, CACHES[classes[name, path]])) != float(stated.replace(",", ""))
    ]
    assert wrong == []


def _value_of(constant: str, *paths: str) -> float | None:
    """In seconds, if it is a time."""
    for path in paths:
        value = getattr(import_module(path.removesuffix(".py").replace("/", ".")), constant, None)
        if value is not None:
            return value.total_seconds() if isinstance(value, timedelta) else float(value)
    return None


def test_each_cache_states_a_size_and_a_lifetime() -> None:
    assert [name for name, _, most, _ in rows() if not re.search(r"\d", most)] == []
    lifetimes = {name: lifetime for name, _, _, lifetime in rows()}
    expiring = {name for name, _, call in cache_calls() if _expires(call)}
    assert {name for name, lifetime in lifetimes.items() if UNTIL_EVICTED not in lifetime} == expiring


def _expires(call: ast.Call) -> bool:
    return class_name(call.func) == "LookupCache" or any(keyword.arg == "ttl_s" for keyword in call.keywords)
