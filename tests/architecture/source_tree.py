"""The source tree for the architecture tests: files of the packages, parsed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "projections", "adapters", "interfaces")


def python_files(*folders: str) -> list[Path]:
    """Every module below `folders`, sorted."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def place(file: Path, node: ast.AST) -> str:
    """`domain/units.py:12`, a clickable location."""
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imported_modules(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every absolute import, with the module's full name. Relative imports are refused by ruff (TID252)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def class_name(called: ast.expr) -> str:
    """`Pool` of a call of `Pool`, `module.Pool` or `Pool[int]`."""
    if isinstance(called, ast.Subscript):
        return class_name(called.value)
    return called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")


def committed_texts() -> list[Path]:
    """Every text file of the project, without caches, environments and data."""
    folders = [*PACKAGES, "tests", "docs", "deploy", ".ci"]
    below = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    files = [file for file in [*ROOT.glob("*"), *below] if file.is_file() and "__pycache__" not in file.parts]
    return sorted(file for file in files if b"\0" not in file.read_bytes()[:1024])
