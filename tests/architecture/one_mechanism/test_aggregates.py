"""An aggregate lists its methods in one class."""

import ast
from collections.abc import Iterator

from tests.architecture.source_tree import parsed, place, python_files


def mixed_aggregates(tree: ast.AST) -> Iterator[ast.AST]:
    """Aggregates with a second base class: part of their methods would stand in another file."""
    for node in ast.walk(tree):
        bases = node.bases if isinstance(node, ast.ClassDef) else []
        if len(bases) > 1 and any(ast.unparse(base).startswith("Aggregate[") for base in bases):
            yield node


def test_an_aggregate_has_no_mixin() -> None:
    files = python_files("domain", "application")
    assert [place(file, node) for file in files for node in mixed_aggregates(parsed(file))] == []


def test_an_aggregate_with_a_mixin_is_detected() -> None:
    assert list(mixed_aggregates(ast.parse("class DREvent(Notices, Aggregate[DREventState]): ...")))
