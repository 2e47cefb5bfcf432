"""A port has one implementation in memory, in tests/fakes (docs/architecture.md, "One place for each job")."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.source_tree import ROOT, imported_modules, parsed, python_files

LEAST_METHODS = 2
OUTSIDE_PARTIES = {
    "tests/simulation/doubles/clock.py": "the time of a virtual event loop",
    "tests/simulation/doubles/defects.py": "wraps any building control and notifier",
    "tests/simulation/doubles/forecasts.py": "models forecasts, without a book",
    "tests/simulation/doubles/utility_notifier.py": "models the utility that is called",
    "tests/simulation/planted/seams.py": "wraps any event store",
}
"""Files of the simulation that implement a port without a fake below, with what they are instead."""


def methods_by_class(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, frozenset[str]]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield node, frozenset(one.name for one in methods if not one.name.startswith("_"))


def implemented(tree: ast.Module) -> set[str]:
    """The ports of which a class in `tree` has every method."""
    found = [methods for _, methods in methods_by_class(tree)]
    return {name for name, of_port in ports().items() if any(of_port <= methods for methods in found)}


@cache
def ports() -> dict[str, frozenset[str]]:
    """Each port with more than one method -> its methods."""
    return {
        node.name: methods
        for file in python_files("application/ports")
        for node, methods in methods_by_class(parsed(file))
        if any(ast.unparse(base).startswith("Protocol") for base in node.bases)
        and len(methods) >= LEAST_METHODS
    }


@cache
def faked() -> set[str]:
    """The ports with a fake."""
    return {name for file in python_files("tests/fakes") for name in implemented(parsed(file))}


def imports_of(tree: ast.Module, package: str) -> list[str]:
    return [module for _, module in imported_modules(tree) if f"{module}.".startswith(f"{package}.")]


def second_fakes(tree: ast.Module) -> set[str]:
    """The ports with a fake for which `tree` has another implementation, which wraps no fake."""
    return set() if imports_of(tree, "tests.fakes") else implemented(tree) & faked()


def test_the_simulation_has_no_fakes_of_its_own() -> None:
    found = {
        str(file.relative_to(ROOT)): second_fakes(parsed(file)) for file in python_files("tests/simulation")
    }
    assert {place for place, names in found.items() if names} == set(OUTSIDE_PARTIES)


def test_fakes_know_nothing_of_the_simulation() -> None:
    files = [file for file in python_files("tests/fakes") if imports_of(parsed(file), "tests.simulation")]
    assert files == []


@pytest.mark.parametrize("port", ["ReaderPositions", "EventStore", "DeadLetters"])
def test_a_second_fake_is_detected(port: str) -> None:
    methods = "".join(f"    def {name}(self): ...\n" for name in ports()[port])
    assert port in second_fakes(ast.parse(f"class Memory:\n{methods}"))
