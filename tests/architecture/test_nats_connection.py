"""Every connection to NATS is opened by adapters/nats/connection.py, so that all have the same options."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, imported_modules, parsed, place, python_files

CONNECTION = ROOT / "adapters/nats/connection.py"
CLIENTS = {"nats.NATS", "Client"}


def connections(tree: ast.Module) -> Iterator[ast.AST]:
    """Every call of nats.connect, every Client that is made, and every class derived from it, by whatever name."""
    for node, module in imported_modules(tree):
        if module == "nats.connect":
            yield node
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("nats.connect", *CLIENTS):
            yield node
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & CLIENTS:
            yield node


def test_no_other_file_connects_to_nats() -> None:
    files = [file for file in python_files(*PACKAGES) if "nats" in file.read_text() and file != CONNECTION]
    assert [place(file, node) for file in files for node in connections(parsed(file))] == []


def test_the_one_place_that_connects_is_detected() -> None:
    assert list(connections(parsed(CONNECTION)))


@pytest.mark.parametrize(
    "code",
    [
        "import nats\nclient = nats.connect('nats://x')",
        "from nats import connect\nclient = connect()",
        "from nats.aio.client import Client\nclient = Client()",
        "from nats.aio.client import Client\nclass Own(Client):\n    pass",
    ],
)
def test_another_connection_is_detected(code: str) -> None:
    assert list(connections(ast.parse(code)))
