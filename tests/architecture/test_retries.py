"""One retry policy (ADR 0057): no other module repeats a call while a server is unavailable."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import application.ports
from application.command_bus.retry import TRANSIENT
from application.ports.archive import ArchiveUnavailable
from application.ports.clock import ClockSkewed
from application.ports.shared_cache import CacheUnavailable
from application.ports.unavailable import UNAVAILABLE
from application.ports.weather.source import WeatherUnavailable
from interfaces.workers.loops.periodic import PUT_OFF
from tests.architecture.source_tree import ROOT, parsed, place, python_files

POLICY = {ROOT / "application/command_bus/retry.py", ROOT / "interfaces/workers/loops/periodic.py"}
WORKS_ON_WITHOUT = {ArchiveUnavailable, CacheUnavailable, WeatherUnavailable}
"""Errors of servers that a process can work without; each has its own fallback."""
SETS_OF_ERRORS = {"UNAVAILABLE", "TRANSIENT", "PUT_OFF"}
SLEEPS = {"sleep", "sleep_or_stop"}


def names(node: ast.AST) -> set[str]:
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return found | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def says_unavailable(handler: ast.ExceptHandler) -> bool:
    caught = set() if handler.type is None else names(handler.type)
    return bool(caught & SETS_OF_ERRORS) or any(name.endswith("Unavailable") for name in caught)


def own_retries(tree: ast.AST) -> Iterator[ast.AST]:
    """Loops that catch an error of an unavailable server and sleep."""
    for loop in ast.walk(tree):
        if not isinstance(loop, ast.While | ast.For | ast.AsyncFor):
            continue
        handlers = [node for node in ast.walk(loop) if isinstance(node, ast.ExceptHandler)]
        calls = [node.func for node in ast.walk(loop) if isinstance(node, ast.Call)]
        if any(map(says_unavailable, handlers)) and any(names(call) & SLEEPS for call in calls):
            yield loop


def test_no_module_of_the_application_or_the_workers_retries_by_itself() -> None:
    offenders = [
        place(file, loop)
        for file in python_files("application", "interfaces/workers")
        if file not in POLICY
        for loop in own_retries(parsed(file))
    ]
    assert offenders == []


@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n    try:\n        call()\n    except StreamUnavailable:\n        sleep_or_stop(stop, 1)\n",
        "while True:\n    try:\n        call()\n    except (A, UNAVAILABLE):\n        pass\n    asyncio.sleep(1)\n",
    ],
)
def test_a_retry_outside_the_policy_is_detected(loop: str) -> None:
    assert len(list(own_retries(ast.parse(loop)))) == 1


def test_every_port_error_of_an_unavailable_server_is_in_the_tuple() -> None:
    errors = set()
    for module in pkgutil.walk_packages(application.ports.__path__, "application.ports."):
        members = vars(importlib.import_module(module.name)).items()
        errors |= {kind for name, kind in members if name.endswith("Unavailable") and isinstance(kind, type)}
    assert (errors - WORKS_ON_WITHOUT) | {ClockSkewed} == set(UNAVAILABLE)
    assert set(UNAVAILABLE) < set(TRANSIENT) < set(PUT_OFF)
