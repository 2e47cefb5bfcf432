"""BMS calls wait for each other in the call slots alone, where commands go before checks (ADR 0092)."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import parsed, place, python_files

CALLERS_WAIT_ON = {
    *("Event", "Condition", "Semaphore", "BoundedSemaphore"),
    *("PriorityQueue", "CapacityLimiter", "heappush"),
}


def waits_of_bms_calls(tree: ast.AST) -> Iterator[ast.AST]:
    """What could let calls of different buildings wait for each other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in CALLERS_WAIT_ON:
            yield node


def test_bms_calls_wait_for_each_other_only_in_the_call_slots() -> None:
    files = python_files("adapters/bms", "application/dispatch", "interfaces/workers/dispatch")
    assert [place(file, node) for file in files for node in waits_of_bms_calls(parsed(file))] == []


@pytest.mark.parametrize(
    "code",
    [
        "self._no_urgent_calls = asyncio.Event()",
        "self._limiter = anyio.CapacityLimiter(32)",
        "heapq.heappush(self._waiting, (urgency, future))",
    ],
)
def test_a_second_queue_of_bms_calls_is_detected(code: str) -> None:
    assert len(list(waits_of_bms_calls(ast.parse(code)))) == 1
