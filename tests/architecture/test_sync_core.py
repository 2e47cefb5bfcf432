"""The core is synchronous; async is used only in the outer layers (ADR 0003)."""

import ast

import pytest

from tests.architecture.source_tree import ROOT, imported_modules, parsed, place, python_files

CORE = ("domain", "projections", "application/commands", "application/handlers", "application/sagas")
STORE_PORTS = (
    "event_store/event_store",
    "event_store/event_log",
    "telemetry/store",
    "operations/dead_letters",
    "operations/alerts",
    "forecast/forecast_book",
)


def asynchronous(tree: ast.Module) -> list[ast.AST]:
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    return defined + [
        node for node, module in imported_modules(tree) if module.partition(".")[0] == "asyncio"
    ]


def test_the_core_is_synchronous() -> None:
    found = [place(file, node) for file in python_files(*CORE) for node in asynchronous(parsed(file))]
    assert found == []


@pytest.mark.parametrize("port", STORE_PORTS)
def test_ports_of_stores_are_synchronous(port: str) -> None:
    assert asynchronous(parsed(ROOT / f"application/ports/{port}.py")) == []


def test_asynchronous_code_is_detected() -> None:
    assert asynchronous(ast.parse("async def call(): ..."))
    assert asynchronous(ast.parse("import asyncio"))
