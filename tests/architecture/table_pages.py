"""Pages whose tables name tests: reads their rows, and finds the tests in the tree."""

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.architecture.source_tree import ROOT

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LEFT_OUT = re.compile(r"\bmark\.(chaos|slow|hosts)\b")


def table_rows(page: Path, heading: Sequence[str]) -> list[list[str]]:
    """The cells of every row under `heading`, of all tables of the page."""
    return rows_in(page.read_text(), heading)


def rows_in(text: str, heading: Sequence[str]) -> list[list[str]]:
    """The same, of all tables of the text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row != list(heading) and set(row[0]) != {"-"}]


@cache
def functions_in(path: str) -> set[str]:
    """Every function of a file, including methods; empty if the file does not exist."""
    file = ROOT / path
    if not file.is_file():
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, functions)}


@cache
def left_out_of_ci(path: str) -> set[str]:
    """The functions of a file that are marked `chaos`, `slow` or `hosts`, individually or by the whole file."""
    tree = ast.parse((ROOT / path).read_text())
    whole = [node for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    if any(LEFT_OUT.search(ast.unparse(node)) for node in whole):
        return functions_in(path)
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(LEFT_OUT.search(ast.unparse(decorator)) for decorator in node.decorator_list)
    }


def missing_tests(text: str) -> list[str]:
    """The tests that `text` names and the tree does not have."""
    named = TEST.findall(text)
    return [f"{path}::{name}" for path, name in named if name not in functions_in(path)]


def is_run_by_ci(cell: str) -> bool:
    """Whether one of the tests that `cell` names has no marker that CI leaves out."""
    return any(name not in left_out_of_ci(path) for path, name in TEST.findall(cell))


def heading_anchors(text: str) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
