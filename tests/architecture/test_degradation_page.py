"""docs/degradation.md and the tests' own table agree, in both directions."""

import re

import pytest

from tests.acceptance.degradation.degradation_table import ALWAYS, COLUMNS, LIKE, NOT_OF_A_REPLICA, ROWS
from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import TEST, functions_in, left_out_of_ci
from tests.unit.interfaces.web.declared_policies import POLICIES

PAGE = (ROOT / "docs/degradation.md").read_text()
CODE = re.compile(r"`([^`]+)`")


def table(first: str) -> list[list[str]]:
    """The cells of the table whose heading begins with `first`, including the heading."""
    (block,) = (part for part in PAGE.split("\n\n") if part.startswith(f"| {first} |"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    return [row for row in rows if set(row[0]) != {"-"}]


HEADING, *CELLS = table("away")


def words_of(row: list[str]) -> dict[str, str]:
    """Column -> its word; each cell is one word."""
    return {column: CODE.fullmatch(cell)[1] for column, cell in zip(HEADING[1:-1], row[1:-1], strict=True)}  # type: ignore[index]


def test_the_page_has_exactly_the_rows_of_the_tests() -> None:
    assert [row[0] for row in CELLS] == list(ROWS)
    assert HEADING[1:-1] == list(COLUMNS)


@pytest.mark.parametrize("row", CELLS, ids=lambda row: row[0])
def test_each_cell_equals_the_value_that_its_test_checks(row: list[str]) -> None:
    assert words_of(row) == ROWS[row[0]]


@pytest.mark.parametrize("row", CELLS, ids=lambda row: row[0])
def test_each_row_names_a_test_that_runs_in_ci(row: list[str]) -> None:
    named = TEST.findall(row[-1])
    assert named
    assert all(name in functions_in(path) for path, name in named)
    assert any(name not in left_out_of_ci(path) for path, name in named)
    assert any(f'"{row[0]}"' in (ROOT / path).read_text() for path, _ in named)


def test_the_columns_are_the_requested_routes_and_those_that_behave_like_them() -> None:
    told = {
        column: tuple(tuple(CODE.findall(part)) for part in routes.partition(" — ")[::2])
        for column, routes in table("column")[1:]
    }
    assert told == {column: (asked, LIKE.get(column, ())) for column, asked in COLUMNS.items()}


def test_every_route_is_in_one_column_or_depends_on_nothing() -> None:
    asked = [route for routes in (*COLUMNS.values(), *LIKE.values(), ALWAYS) for route in routes]
    assert len(asked) == len(set(asked))
    assert set(asked) == set(POLICIES)
    told = " ".join(PAGE.split())
    assert all(f"`{route}`" in told for route in ALWAYS)


def test_exactly_the_words_of_the_table_are_explained() -> None:
    explained = {word for row in table("word")[1:] for word in CODE.findall(row[0])}
    assert explained == {word for cells in ROWS.values() for word in cells.values()}


def routes_answered_with(row: str, word: str) -> set[str]:
    """The routes of all columns in which the row has that word."""
    columns = [column for column, said in ROWS[row].items() if said == word]
    return {route for column in columns for route in (*COLUMNS[column], *LIKE.get(column, ()))}


def test_exactly_the_routes_whose_answers_the_middleware_stores_have_stale_answers() -> None:
    assert routes_answered_with("PostgreSQL", "last_known") == {
        route for route, policy in POLICIES.items() if policy.cache != "now"
    }


def test_a_replica_answers_exactly_its_routes_and_the_page_names_the_exceptions() -> None:
    of_replica = {route for route, policy in POLICIES.items() if policy.cache == "replica"}
    assert routes_answered_with("PostgreSQL, with a replica", "replica") == of_replica.union(NOT_OF_A_REPLICA)
    assert of_replica.isdisjoint(NOT_OF_A_REPLICA)
    (told,) = (row[1] for row in table("word") if row[0] == "`replica`")
    assert set(CODE.findall(told)) >= {*NOT_OF_A_REPLICA, "last_known"}


def test_routes_labelled_read_models_are_exactly_those_that_read_projections() -> None:
    assert routes_answered_with("worker project", "read_models") == {
        route for route, policy in POLICIES.items() if policy.projections
    }
