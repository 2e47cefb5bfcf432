"""Texts for people: a number with a unit has a format, so that none is printed as 108.47999999999999 kW."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

PACKAGES = ("domain", "application", "projections", "adapters", "interfaces")
UNITS = ("kW", "%", "°C")
EXACT_DECIMALS = ("application/settlement/", "interfaces/settlement/statement/")
"""There numbers are texts already: exact decimals."""
FORMATTERS = {"_kw"}
"""Functions that return a text."""


def unformatted(source: str) -> Iterator[int]:
    """The lines of f-strings in which a value stands before a unit without a format."""
    for text in ast.walk(ast.parse(source)):
        if not isinstance(text, ast.JoinedStr):
            continue
        for value, following in pairwise(text.values):
            if not isinstance(value, ast.FormattedValue) or not isinstance(following, ast.Constant):
                continue
            is_text = isinstance(value.value, ast.Call) and ast.unparse(value.value.func) in FORMATTERS
            if str(following.value).lstrip().startswith(UNITS) and value.format_spec is None and not is_text:
                yield text.lineno


def test_no_text_has_a_number_of_a_unit_without_a_format() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 500
    names = {path: path.relative_to(ROOT).as_posix() for path in files}
    assert [
        f"{names[path]}:{line}"
        for path in files
        if not names[path].startswith(EXACT_DECIMALS)
        for line in unformatted(path.read_text())
    ] == []


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('f"{x} kW"', [1]),
        ('f"{x:.1f} kW"', []),
        ('f"{_kw(x)} kW"', []),
        ('f"at {x}% of {y}"', [1]),
        ('f"{x} rows"', []),
    ],
)
def test_a_value_before_a_unit_is_listed(written: str, found: list[int]) -> None:
    assert list(unformatted(written)) == found


def test_the_exceptions_exist() -> None:
    assert all(Path(ROOT / one).exists() for one in EXACT_DECIMALS)
