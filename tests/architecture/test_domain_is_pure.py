"""The domain: an allow-list of imports, and no clock, random draw, new id or environment in it."""

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import imported_modules, parsed, place, python_files

ALLOWED_LIBRARIES = {"domain", "eventsourcing", "msgspec", "numpy"}
# Standard modules with access to the outside.
REFUSED_MODULES = {
    *("random", "secrets", "os", "time", "socket", "subprocess", "threading", "multiprocessing", "asyncio"),
    *("urllib", "http", "io", "pathlib", "shutil", "tempfile", "sqlite3", "logging", "numpy.random"),
    *("eventsourcing.postgres", "eventsourcing.sqlite", "eventsourcing.popo", "eventsourcing.application"),
}
REFUSED_CALLS = {
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "environ",
    "getenv",
    "time_ns",
    "monotonic",
    "urandom",
}
# A lock for msgspec's information about our structs: it decides nothing. Without it two threads crash the process.
EXCEPTIONS = {("domain/event_sourcing/decoders.py", "imports threading")}
REFUSED_BUILTINS = {"open", "input", "print", "exec", "eval"}


def impurities(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes of code that the domain must not contain, with a description."""
    for node, module in imported_modules(tree):
        root = module.partition(".")[0]
        if root not in ALLOWED_LIBRARIES and root not in sys.stdlib_module_names:
            yield node, f"imports {module}"
        if any(module == refused or module.startswith(f"{refused}.") for refused in REFUSED_MODULES):
            yield node, f"imports {module}"
        if module.rpartition(".")[2] in REFUSED_CALLS:
            yield node, f"imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (
            node.attr in REFUSED_CALLS or ast.unparse(node) == "np.random"
        ):
            yield node, f"uses {ast.unparse(node)}"
        if isinstance(node, ast.Name) and node.id in REFUSED_BUILTINS:
            yield node, f"uses {node.id}"


def test_the_domain_is_pure() -> None:
    found = [
        f"{place(file, node)} {what}"
        for file in python_files("domain")
        for node, what in impurities(parsed(file))
        if (place(file, node).partition(":")[0], what) not in EXCEPTIONS
    ]
    assert found == []


@pytest.mark.parametrize(
    "impure",
    [
        "import psycopg",
        "from litestar import get",
        "import random",
        "from os import environ",
        "import os.path",
        "from uuid import uuid4",
        "import uuid; uuid.uuid4()",
        "from datetime import datetime; datetime.now()",
        "import datetime; datetime.datetime.utcnow()",
        "from datetime import date; date.today()",
        "import time",
        "import numpy as np; np.random.default_rng()",
        "from numpy.random import default_rng",
        "from eventsourcing.postgres import PostgresAggregateRecorder",
        "open('/etc/passwd')",
    ],
)
def test_an_impurity_is_detected(impure: str) -> None:
    assert list(impurities(ast.parse(impure)))


def test_code_that_the_domain_needs_is_not_refused() -> None:
    pure = "from datetime import UTC, datetime\nfrom uuid import UUID, uuid5\nimport numpy as np\nimport msgspec\n"
    assert list(impurities(ast.parse(pure))) == []
