"""docs/guides/portfolio.md and the JSON schema say of each field what the code says."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from click.testing import CliRunner

from application.facility.portfolio_entries import Portfolio
from application.facility.portfolio_example import portfolio_example
from interfaces.cli import main
from tests.architecture.portfolio_page import (
    OBJECTS,
    PAGE,
    SCHEMA,
    schema_text,
    tables,
    with_tables,
)

TEXT = PAGE.read_text(encoding="utf-8")
WRITTEN = tables(TEXT)


def test_the_page_is_that_of_the_code() -> None:
    """On failure: `python tests/architecture/portfolio_page.py --write`, and fill in the last column of new fields."""
    assert with_tables(TEXT) == TEXT


@pytest.mark.parametrize(
    ("was", "instead"),
    [
        ("| `600` | shortest time", "| `601` | shortest time"),
        ("| whole number, 1 to 1,000 |", "| whole number, 1 to 2,000 |"),
        ("| `groups` | list of id", "| `labels` | list of id"),
    ],
)
def test_a_wrong_default_range_or_name_is_noticed(was: str, instead: str) -> None:
    assert was in TEXT
    assert with_tables(TEXT.replace(was, instead)) != TEXT.replace(was, instead)


@pytest.mark.parametrize("heading", OBJECTS)
def test_every_field_says_what_it_does(heading: str) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(OBJECTS[heading])}

    assert WRITTEN[heading].keys() == fields
    assert [name for name, (*_, effect) in WRITTEN[heading].items() if len(effect) < 5] == []


def test_every_object_of_a_portfolio_has_a_table() -> None:
    assert set(msgspec.json.schema(Portfolio)["$defs"]) == {kind.__name__ for kind in OBJECTS.values()}


def test_the_schema_is_that_of_the_page_and_the_command_prints_it() -> None:
    """On failure: `python tests/architecture/portfolio_page.py --write`."""
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(TEXT)
    assert CliRunner().invoke(main, ["facilities", "schema"]).output == schema_text(TEXT)


def example() -> Any:
    """As an editor reads it: dates of YAML are texts in a schema."""
    return json.loads(msgspec.json.encode(msgspec.yaml.decode(portfolio_example().encode())))


def test_the_example_fits_the_schema() -> None:
    assert [one.message for one in jsonschema_rs.iter_errors(json.loads(SCHEMA.read_text()), example())] == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("programs", 0, "forecast_guardrail"), "warnn"),
        (("programs", 0, "acceptable_share"), 7),
        (("programs", 0, "settlement", "colour"), "red"),
        (("facilities", 0, "facility_id"), "City Hall!"),
        (("facilities", 0, "zones", 0, "curtailable_kw"), 0),
    ],
)
def test_what_the_check_refuses_does_not_fit_the_schema(place: tuple[Any, ...], value: Any) -> None:
    wrong = example()
    part = wrong
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value

    assert not jsonschema_rs.is_valid(json.loads(SCHEMA.read_text()), wrong)
