"""docs/architecture.md: every step of its walks exists, and the stated number of calls is correct."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source_tree import ROOT, parsed

PAGE = ROOT / "docs/architecture.md"
STEP = re.compile(r"^\d+\. `([\w/]+\.py)::([\w.]+)`", re.MULTILINE)
WALKS = ("A notification", "A command to a building", "A reading", "A dashboard list")


def walks() -> dict[str, str]:
    """The heading of each walk -> its text."""
    sections = re.split(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return {
        heading: text.partition("\n## ")[0]
        for heading, text in zip(sections[1::2], sections[2::2], strict=True)
    }


def qualified_names(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """`function`, `Class.method` and nested definitions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
            yield from qualified_names(node, f"{prefix}{node.name}.")
        else:
            yield from qualified_names(node, prefix)


def test_the_page_has_the_walks() -> None:
    assert set(WALKS) <= set(walks())


def test_every_step_of_a_walk_exists() -> None:
    lost = [
        f"{path}::{name}"
        for heading in WALKS
        for path, name in STEP.findall(walks()[heading])
        if not (ROOT / path).is_file() or name not in qualified_names(parsed(ROOT / path))
    ]
    assert lost == []


def test_the_stated_number_of_calls_is_the_number_of_steps_of_a_walk() -> None:
    for heading in WALKS:
        text = walks()[heading]
        counted = re.search(r"^(\d+) calls leave a file", text, re.MULTILINE)
        assert counted is not None, heading
        assert int(counted.group(1)) == len(STEP.findall(text)) > 0, heading


def test_nested_functions_and_methods_are_listed() -> None:
    tree = ast.parse("class A:\n    def b(self):\n        def c(): ...\n")
    assert list(qualified_names(tree)) == ["A", "A.b", "A.b.c"]
