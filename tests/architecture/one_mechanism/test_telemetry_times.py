"""Calls of a telemetry store are timed in one place, `TelemetryHealth.timed`."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import ROOT, parsed, place, python_files

TIMER = ROOT / "application/telemetry/store_health.py"
FOLDERS = ("adapters/postgres/telemetry", "adapters/influxdb", "application/telemetry")


def stopwatches(tree: ast.AST) -> Iterator[ast.AST]:
    """Uses of `perf_counter`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name | ast.alias):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else getattr(node, "id", getattr(node, "name", ""))
            )
            if name == "perf_counter":
                yield node


def test_calls_of_a_telemetry_store_are_timed_in_one_place() -> None:
    files = [file for file in python_files(*FOLDERS) if file != TIMER]
    assert [place(file, node) for file in files for node in stopwatches(parsed(file))] == []
    assert list(stopwatches(parsed(TIMER)))


@pytest.mark.parametrize("code", ["began = time.perf_counter()", "from time import perf_counter"])
def test_another_stopwatch_is_detected(code: str) -> None:
    assert len(list(stopwatches(ast.parse(code)))) == 1
