"""Names that the project does not use, and the places of files."""

import ast
import keyword
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

FORBIDDEN_PLACES = {"utils", "util", "common", "helpers", "helper", "lib", "misc", "http", "json", "types"}
FORBIDDEN_CLASS = re.compile(r"^[ \t]*class\s+(\w*(?:Manager|Service|Processor|Helper))\b", re.MULTILINE)
KEYWORDS = {*keyword.kwlist, *keyword.softkwlist}


def bare_events(code: str) -> Iterator[ast.AST]:
    """Every variable or argument named `event`, which is ambiguous: a DR event or a domain event."""
    # In code, unlike in prose, a name does not follow another name, so most files need no parsing.
    before = re.findall(r"(?:\b(\w+)[ \t]+)?(?<![\w.])event\b", code)
    if not any(not word or word in KEYWORDS for word in before):
        return
    for node in ast.walk(ast.parse(code)):
        is_variable = isinstance(node, ast.Name) and node.id == "event"
        if is_variable or (isinstance(node, ast.arg) and node.arg == "event"):
            yield node


def test_no_variable_is_called_event() -> None:
    found = [
        place(file, node)
        for file in python_files(*PACKAGES, "tests")
        for node in bare_events(file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "event = 1",
        "for event in x: pass",
        "def f(event): ...",
        "lambda event: 0",
        "x = [a\nfor event in a]",
        "f(a, event)",
        "a if event else b",
    ],
)
def test_a_variable_called_event_is_detected(code: str) -> None:
    assert list(bare_events(code))


def test_no_file_or_folder_has_a_meaningless_name() -> None:
    files = python_files(*PACKAGES, "tests")
    found = {
        str(file.relative_to(ROOT))
        for file in files
        if FORBIDDEN_PLACES & {part.removesuffix(".py") for part in file.relative_to(ROOT).parts}
    }
    assert found == set()


def test_no_class_is_named_manager() -> None:
    found = [
        f"{file.relative_to(ROOT)} {name}"
        for file in python_files(*PACKAGES, "tests")
        for name in FORBIDDEN_CLASS.findall(file.read_text())
    ]
    assert found == []


def test_a_class_named_manager_is_detected() -> None:
    assert FORBIDDEN_CLASS.findall("if x:\n    class _LockManager(Base):\n") == ["_LockManager"]
    assert not FORBIDDEN_CLASS.findall("class Managers: ...\n# a class of Manager\n")


def test_only_the_root_of_the_tests_is_a_package() -> None:
    """With more __init__.py files, tests/domain would shadow domain."""
    assert list((ROOT / "tests").rglob("__init__.py")) == [ROOT / "tests/__init__.py"]


def test_every_folder_of_the_five_packages_is_a_package() -> None:
    folders = {file.parent for file in python_files(*PACKAGES)}
    assert [
        str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()
    ] == []


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_every_fake_has_the_name_of_a_port() -> None:
    """A port has its own file in application/ports; those of the read side are Protocols beside their read models."""
    ports = {file.stem for file in python_files("application/ports")}
    ports |= {
        _snake_case(node.name)
        for file in python_files("projections")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
    }
    assert {file.stem for file in python_files("tests/fakes")} - ports == set()


def test_migrations_are_numbered_without_a_gap() -> None:
    files = sorted((ROOT / "adapters/postgres/migrations").glob("*.sql"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", file.name) for file in files)


def _lengths(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{place(file, node)} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_files_and_functions_stay_readable() -> None:
    """The aim is 60 lines a file and 8 a function; these are the limits."""
    files = {str(file.relative_to(ROOT)): file for file in python_files(*PACKAGES)}
    long_files = {name: len(file.read_text().splitlines()) for name, file in files.items()}
    long_functions = {name: lines for file in files.values() for name, lines in _lengths(file)}
    assert {name: n for name, n in long_files.items() if n > 350} == {}
    assert {name: lines for name, lines in long_functions.items() if lines > 60} == {}
