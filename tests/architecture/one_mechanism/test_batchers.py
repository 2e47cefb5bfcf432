"""Requests are batched by two classes alone (docs/architecture.md, "One place for each job")."""

import ast
import re
import textwrap
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, python_files

# ------------------------------------------------------------------------------------------------------ batching

BATCHERS = {"application/async_batcher.py", "adapters/postgres/thread_batcher.py"}
NO_BATCHERS = {
    "adapters/postgres/coordination/call_slots.py": "hands back the slots of one session by one statement",
    "interfaces/workers/decide/ordered_executor.py": "runs each job by itself, in the order of its key",
}
"""Files that look like a batcher, each with what it is."""

TASKS = {"create_task", "ensure_future", "call_soon", "call_soon_threadsafe"}
LOCKS = {f"{module}{name}" for module in ("", "threading.") for name in ("Lock", "RLock", "Condition")}


def called(tree: ast.AST) -> set[str]:
    """The name of each function that is called in it."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def is_queue_of_futures(node: ast.AST) -> bool:
    """`self._waiting: list[asyncio.Future[None]]`, or a future that is made for one caller."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
        kind = ast.unparse(node.annotation)
        return "Future[" in kind and kind.startswith(("list[", "dict[", "deque["))
    if isinstance(node, ast.Call):
        return any(map(makes_future, node.args))
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Attribute) for target in node.targets):
        return False
    return isinstance(node, ast.Assign | ast.AnnAssign) and makes_future(node.value)


def makes_future(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("create_future")


def is_queue_emptied(node: ast.AST) -> bool:
    """`batch, self._waiting = self._waiting, []`, also with slices."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1):
        return False
    emptied = ast.unparse(node.targets[0]).strip("()").partition(", ")[2].partition(", ")[0]
    taken, rest = node.value.elts[:2]
    is_rest = isinstance(rest, ast.List | ast.Dict | ast.Subscript) or ast.unparse(rest) == "deque()"
    return is_rest and emptied.startswith("self.") and ast.unparse(taken).startswith(emptied)


def is_queue_of_entries(node: ast.AST) -> bool:
    """A loop over `self._waiting.popleft()`."""
    names = called(node) if isinstance(node, ast.While) else set[str]()
    return any(name.startswith("self.") and name.endswith(".popleft") for name in names)


def batchers(tree: ast.Module) -> Iterator[str]:
    """Classes that collect what their callers wait for, and begin a call for all of it: in a task, or under a lock in
    the thread of one caller."""
    for one in ast.walk(tree):
        if not isinstance(one, ast.ClassDef):
            continue
        calls, nodes = called(one), list(ast.walk(one))
        collects = [is_queue_emptied]
        collects += [is_queue_of_entries] if calls & LOCKS else [is_queue_of_futures]
        begins = calls & LOCKS or any(name.rpartition(".")[2] in TASKS for name in calls)
        if begins and any(is_queue(node) for is_queue in collects for node in nodes):
            yield one.name


def test_requests_are_batched_only_by_the_two_batchers() -> None:
    """Use `AsyncBatcher` on an event loop and `ThreadBatcher` in threads (ADR 0089)."""
    files = [file for file in python_files(*PACKAGES) if re.search("asyncio|threading", file.read_text())]
    found = {str(file.relative_to(ROOT)) for file in files if any(batchers(parsed(file)))}
    assert found == BATCHERS | NO_BATCHERS.keys()


@pytest.mark.parametrize(
    "code",
    [
        """
        class Commands:
            async def handle(self, command):
                future = asyncio.get_running_loop().create_future()
                self._waiting.append((command, future))
                self._work = asyncio.create_task(self._run())
                return await future
        """,
        """
        class Reads:
            def __init__(self):
                self._next: dict[str, asyncio.Future[Any]] = {}
            async def read(self, name):
                joined = self._next[name] = asyncio.ensure_future(self._run(name))
                return await asyncio.shield(joined)
        """,
        """
        class Outcomes:
            def begin(self):
                self._task = asyncio.create_task(self._record_all())
            async def _record_all(self):
                batch, self._unrecorded = self._unrecorded, []
                await self._record(batch)
        """,
        """
        class Writes:
            def __init__(self):
                self._queue, self._lock = [], Lock()
            def write(self):
                with self._lock:
                    group, self._queue = self._queue[:100], self._queue[100:]
        """,
        """
        class Saves:
            def __init__(self):
                self._lock = threading.Condition()
            def lead(self):
                while self._waiting:
                    self._save(self._waiting.popleft())
        """,
    ],
    ids=["task", "running", "window", "grouped", "leader"],
)
def test_another_batcher_is_detected(code: str) -> None:
    assert list(batchers(ast.parse(textwrap.dedent(code))))


@pytest.mark.parametrize(
    "code",
    [
        """
        class Connection:
            def __init__(self, loop):
                self.over: asyncio.Future[None] = loop.create_future()
                self._task = asyncio.create_task(self._watch())
        """,
        """
        class Rows:
            def take(self):
                added, self._added = self._added, []
                return added
        """,
    ],
    ids=["one future", "no call"],
)
def test_what_is_not_a_batcher_is_accepted(code: str) -> None:
    assert not list(batchers(ast.parse(textwrap.dedent(code))))
