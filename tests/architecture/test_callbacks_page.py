"""docs/guides/callbacks.md names every kind of callback and every field of a body."""

import ast
import re
from collections.abc import Iterator
from typing import get_args

from application.handlers.callback import body
from domain.dr_event import CallbackKind
from tests.architecture.source_tree import ROOT

PAGE = (ROOT / "docs/guides/callbacks.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def fields_of_bodies() -> Iterator[str]:
    """Every name of a member that the code of bodies writes."""
    for node in ast.walk(ast.parse((ROOT / "application/handlers/callback/body.py").read_text())):
        keys = node.keys if isinstance(node, ast.Dict) else []
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys = [node.slice]
        yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def test_every_kind_is_explained() -> None:
    kinds = re.findall(r"^\| `([a-z_]+)` \|", section("Kinds"), re.MULTILINE)

    assert sorted(kinds) == sorted({*get_args(CallbackKind), "not_measurable"})


def test_every_field_of_a_body_is_explained() -> None:
    fields = set(fields_of_bodies()) - {"failed", "opted_out", "committed"}  # they are results too
    rows = "".join(line for line in section("Fields").splitlines(keepends=True) if line.startswith("|"))

    assert len(fields) > 40
    assert fields - names_in(rows) == set()


def test_no_field_is_explained_that_no_body_has() -> None:
    first_cells = re.findall(r"^\| (`[^|]+) \|", section("Fields"), re.MULTILINE)

    assert names_in("".join(first_cells)) <= set(fields_of_bodies())


def test_the_limits_are_those_of_the_code() -> None:
    assert f"the first {body.MAX_RESULTS} |" in section("Fields")
    assert f"the first {body.MAX_REASONS} |" in section("Fields")
