"""Work is repeated in one place, `PeriodicCheck` (ADR 0057): elsewhere no loop calls a store and sleeps."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import ROOT, parsed, place, python_files

PACED_LOOPS = {
    "interfaces/workers/loops/": "PeriodicCheck; a failed side task; the lease of a delivery",
    "interfaces/workers/project/": "LogFollower; a failed follower",
    "interfaces/workers/decide/": "reads ahead of its running jobs; starts again when the log is readable",
    "interfaces/workers/aggregate/aggregate.py": "tries one batch again",
    "interfaces/workers/web/server.py": "waits for the start of the server",
    "application/operations/clock_monitor.py": "a thread of its own: an event loop must not wait for the database",
    "application/async_batcher.py": "paces batches",
}
FOLDERS = ("application", "projections", "domain", "interfaces/workers")
"""Adapters have loops of one connection: a lock, a reconnect."""
SLEEPS = {"sleep", "sleep_or_stop", "wait_for"}


def paced_loops(tree: ast.AST) -> Iterator[ast.AST]:
    """`while` loops that sleep."""
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and any(map(is_sleep, ast.walk(node))):
            yield node


def is_sleep(node: ast.AST) -> bool:
    """A call of a sleep, or of the `wait` of an event with a time-out."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func).rpartition(".")[2]
    return name in SLEEPS or (name == "wait" and bool(node.args or node.keywords))


def test_work_is_repeated_in_one_place() -> None:
    files = python_files(*FOLDERS)
    others = [file for file in files if not str(file.relative_to(ROOT)).startswith(tuple(PACED_LOOPS))]
    assert [place(file, node) for file in others for node in paced_loops(parsed(file))] == []


@pytest.mark.parametrize(
    "loop",
    [
        "while not stop.is_set():\n    await check()\n    await sleep_or_stop(stop, 1.0)",
        "while not stop.is_set():\n    store.drop()\n    stop.wait(1.0)",
        "while True:\n    store.drop()\n    await asyncio.wait_for(stop.wait(), 1.0)",
    ],
)
def test_another_loop_is_detected(loop: str) -> None:
    assert len(list(paced_loops(ast.parse(loop)))) == 1
