"""The kinds of processes stand in one list, from which everything else about them follows."""

import ast
import re
from pathlib import Path

import pytest

from application.operations.process_kinds import KINDS, NAMES, WEB, Leads
from interfaces.bootstrap.processes import wiring_of
from projections.registry import PROJECTIONS
from tests.architecture import deployed_kinds
from tests.architecture.source_tree import PACKAGES, ROOT, parsed, python_files

RECORDS = ROOT / "application/operations/process_kinds.py"
WIRING = ROOT / "interfaces/bootstrap/kinds"


def strings_of(node: ast.AST) -> set[str]:
    """The texts that a literal collection holds, keys and values, not those of collections inside it."""
    match node:
        case ast.Dict():
            parts = [*node.keys, *node.values]
        case ast.Tuple() | ast.List() | ast.Set():
            parts = [*node.elts]
        case _:
            return set()
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def lists_of_kinds(tree: ast.AST) -> list[tuple[int, list[str]]]:
    """Line and names of each literal collection that holds two kinds; a `match` pattern of alternatives is one too."""
    found = []
    for node in ast.walk(tree):
        strings = strings_of(node)
        if isinstance(node, ast.MatchOr):
            values = [part.value for part in node.patterns if isinstance(part, ast.MatchValue)]
            strings = {str(value.value) for value in values if isinstance(value, ast.Constant)}
        if len(named := sorted(strings & set(NAMES))) > 1:
            found.append((getattr(node, "lineno", 0), named))
    return found


@pytest.mark.parametrize(
    "text",
    [
        f'X = {{"{NAMES[0]}": 1, "{NAMES[1]}": 2}}',
        f'X = frozenset({{"{NAMES[2]}", "{NAMES[3]}"}})',
        f'X: Literal["{NAMES[0]}", "other", "{NAMES[4]}"]',
        f'match x:\n    case "{NAMES[0]}" | "{NAMES[1]}":\n        pass',
    ],
)
def test_a_second_list_of_kinds_is_refused(text: str) -> None:
    assert len(lists_of_kinds(ast.parse(text))) == 1


def test_no_other_literal_collection_holds_two_kinds() -> None:
    found = {
        f"{file.relative_to(ROOT)}:{line}": names
        for file in python_files(*PACKAGES)
        if file != RECORDS
        for line, names in lists_of_kinds(parsed(file))
    }
    assert found == {}


def test_a_recorded_actor_that_is_a_worker_names_its_kind() -> None:
    named = {
        actor for file in python_files(*PACKAGES) for actor in re.findall(r'"worker:(\w+)"', file.read_text())
    }
    assert named
    assert named <= set(NAMES)


def test_each_kind_is_wired_by_the_module_of_its_name_and_no_module_is_left() -> None:
    assert {file.stem for file in WIRING.glob("*.py")} - {"__init__"} == set(NAMES)
    for name in NAMES:
        assert callable(getattr(wiring_of(name), "run_web" if name == WEB else "run")), name


def test_a_wiring_module_imports_at_its_top() -> None:
    inside = [
        f"{file.name}:{node.lineno}"
        for file in WIRING.glob("*.py")
        for function in ast.walk(parsed(file))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_the_records_agree_with_themselves() -> None:
    for kind in KINDS:
        assert kind.needs <= kind.reaches, kind.name
        assert ("nats" in kind.reaches) == bool(kind.telemetry_log), kind.name
        assert ("cache" in kind.reaches) == bool(kind.cache), kind.name
        assert kind.folds_read_models == (kind.pods.useful == len(PROJECTIONS) + 1), kind.name
        assert not isinstance(kind.acts, Leads) or kind.pods.useful == 3, kind.name
    locks = [lock for kind in KINDS for lock in kind.locks]
    assert len(set(locks)) == len(locks)


def test_the_files_of_deploy_have_the_kinds_of_now() -> None:
    assert deployed_kinds.stale_units() == []
    written = {name: (deployed_kinds.DEPLOY / name) for name in deployed_kinds.texts()}
    assert {
        name
        for name, text in deployed_kinds.texts().items()
        if not written[name].exists() or written[name].read_text() != text
    } == set(), "python tests/architecture/deployed_kinds.py --write"


def test_a_second_run_of_the_writer_changes_nothing(tmp_path: Path) -> None:
    """What stands outside of the marks stays."""
    for name, text in deployed_kinds.texts().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert deployed_kinds.texts(tmp_path) == deployed_kinds.texts()
