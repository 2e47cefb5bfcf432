"""Types of msgspec are first used in one place, under a lock (docs/architecture.md, "One place for each job")."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, class_name, parsed, place, python_files

DECODERS = ROOT / "domain/event_sourcing/decoders.py"
HIDING = {"convert", "decode", "Decoder", "json", "msgpack", "toml", "yaml"}


def first_uses(tree: ast.AST) -> Iterator[ast.AST]:
    """Calls that have msgspec collect the fields of a type, and imports that would hide such a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] == "msgspec":
                yield from (node for alias in node.names if alias.name in HIDING)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("msgspec."):
            named = any(keyword.arg == "type" for keyword in node.keywords)
            typed = {"convert": True, "decode": named, "Decoder": named or len(node.args) > 0}
            if typed.get(class_name(node.func)):
                yield node


def test_types_are_first_used_under_one_lock() -> None:
    files = [file for file in python_files(*PACKAGES) if file != DECODERS]
    assert [place(file, node) for file in files for node in first_uses(parsed(file))] == []
    assert len(list(first_uses(parsed(DECODERS)))) == 3


@pytest.mark.parametrize(
    "code",
    [
        "msgspec.convert(value, Kind)",
        "msgspec.json.Decoder(Kind)",
        "msgspec.msgpack.Decoder(type=Kind)",
        "msgspec.yaml.decode(text, type=Kind)",
        "from msgspec.json import Decoder",
        "from msgspec import json",
    ],
)
def test_another_use_of_a_type_is_detected(code: str) -> None:
    assert len(list(first_uses(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ["msgspec.json.decode(text)", "msgspec.json.Decoder()", "msgspec.json.encode(value)"]
)
def test_a_use_without_a_type_is_allowed(code: str) -> None:
    assert list(first_uses(ast.parse(code))) == []
