"""Tests wait by the limits of tests/patience.py, so that none fails because the machine was busy (ADR 0026)."""

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.architecture.source_tree import ROOT
from tests.patience import ANSWER_S, PLACES, whole_system

MEANT_S = 1.0
"""A shorter time is one that is meant to pass."""
POSITIONS = {"asyncio.wait_for": 1, "asyncio.timeout": 0, ".wait": 0, ".result": 0, ".join": 0}
"""Function, or method of any object -> the argument that is its limit."""
OF_THE_PRODUCT = ("PostgresPool", "ConnectionPool", "getconn", "connection", "jetstream")
"""What these raise at their limit is what the tests show."""
HTTPX = {"get", "post", "put", "patch", "delete", "request", "stream", "Client", "AsyncClient"}


def limits(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that say how long something may take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func).partition("[")[0]
            method = function.rpartition(".")[2]
            if method not in OF_THE_PRODUCT:
                yield from (keyword.value for keyword in node.keywords if keyword.arg == "timeout")
            place = POSITIONS.get(function, POSITIONS.get(f".{method}"))
            if place is not None and len(node.args) > place:
                yield node.args[place]
        elif isinstance(node, ast.BinOp) and ast.unparse(node.left) in {"time.monotonic()", "monotonic()"}:
            yield node.right


def literal_limits(tree: ast.AST) -> list[int]:
    """The lines of numbers."""
    numbers = (limit for limit in limits(tree) if isinstance(limit, ast.Constant))
    return [
        number.lineno
        for number in numbers
        if isinstance(number.value, int | float) and number.value >= MEANT_S
    ]


def unlimited_requests(tree: ast.AST) -> list[int]:
    """The lines of httpx calls that leave its limit of five seconds."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == "httpx"
        and call.func.attr in HTTPX
        and "timeout" not in {keyword.arg for keyword in call.keywords}
    ]


def lines(path: Path) -> list[int]:
    tree = ast.parse(path.read_text())
    return literal_limits(tree) + unlimited_requests(tree)


def test_no_test_has_a_limit_of_its_own() -> None:
    found = {str(path.relative_to(ROOT)): lines(path) for path in (ROOT / "tests").rglob("*.py")}
    assert {path: at for path, at in found.items() if at} == {}, "take a limit of tests/patience.py"


@pytest.mark.parametrize(
    ("statement", "is_noticed"),
    [
        ("process.wait(20)", True),
        ("subprocess.run(argv, timeout=60)", True),
        ("await asyncio.wait_for(ended, 10)", True),
        ("deadline = time.monotonic() + 30.0", True),
        ("httpx.get(url)", True),
        ("process.wait(END_S)", False),
        ("queue.get(timeout=0.2)", False),
        ("PostgresPool(dsn, timeout=5)", False),
        ("httpx.get(url, timeout=ANSWER_S)", False),
    ],
)
def test_a_limit_of_its_own_is_noticed(statement: str, is_noticed: bool) -> None:
    tree = ast.parse(statement)
    assert bool(literal_limits(tree) + unlimited_requests(tree)) is is_noticed


def test_no_more_whole_systems_run_at_once_than_there_are_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.patience._FOLDER", tmp_path)
    held = [Event() for _ in range(PLACES + 1)]
    over = [Event() for _ in held]

    def run(system: int) -> None:
        with whole_system():
            held[system].set()
            assert over[system].wait(ANSWER_S)

    with ThreadPoolExecutor() as threads:
        for system in range(PLACES):
            threads.submit(run, system)
            assert held[system].wait(ANSWER_S)
        last = threads.submit(run, PLACES)
        assert not held[PLACES].wait(0.5)
        over[0].set()
        assert held[PLACES].wait(ANSWER_S)
        for one in over:
            one.set()
        last.result(ANSWER_S)
