"""Names are resolved to checked addresses in one place (docs/architecture.md, "One place for each job")."""

import ast

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

RESOLVER = ROOT / "adapters/checked_resolver.py"


def resolvers(tree: ast.Module) -> list[ast.ClassDef]:
    """Classes with a name resolution of their own."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [node for node in classes if any("Resolver" in ast.unparse(base) for base in node.bases)]


def test_resolved_addresses_are_checked_in_one_place() -> None:
    files = [file for file in python_files(*PACKAGES) if "Resolver" in file.read_text() and file != RESOLVER]
    assert [place(file, node) for file in files for node in resolvers(parsed(file))] == []
    assert resolvers(parsed(RESOLVER))


def test_another_resolver_is_detected() -> None:
    assert resolvers(ast.parse("class Own(aiohttp.abc.AbstractResolver): ..."))
