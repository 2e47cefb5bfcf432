"""Each measured figure that sizes are computed from stands in docs/benchmarks.md, in the section that it names."""

import re

import pytest

from application.operations.process_kinds import ProcessorUse
from application.operations.sizing.measured import (
    CAPACITY_RUN,
    COMPARISON,
    FIGURES,
    PROCESSOR,
    Figure,
)
from interfaces.bootstrap.connection_budget import DEFAULT_PROCESSES
from tests.architecture.source_tree import ROOT

PAGE = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    """The cells of every row of the tables below the heading `section`."""
    [text] = re.findall(rf"^## {re.escape(section)}$\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for line in str(text).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(cell: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?", cell)]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.row)
def test_a_figure_is_in_the_row_that_it_names(figure: Figure) -> None:
    [row] = [row for row in rows(figure.section) if row[0] == figure.row][-1:]
    # A training is measured in milliseconds, as the page says in the next cell.
    scale = 1e-3 if row[1] == "ms/facility" else 1.0
    assert any(
        figure.value == pytest.approx(value * scale, rel=1e-3) for cell in row[1:] for value in numbers(cell)
    ), row


@pytest.mark.parametrize("name", PROCESSOR)
def test_what_a_process_takes_is_in_its_row(name: str) -> None:
    [row] = [row for row in rows(CAPACITY_RUN) if row[0] == f"`{name}`"]
    assert tuple(value for cell in row[1:] for value in numbers(cell)) == PROCESSOR[name]
    assert len(row) - 1 == len(ProcessorUse._fields)


def test_every_process_of_a_default_system_has_its_figures() -> None:
    assert PROCESSOR.keys() - {"postgres", "nats", "valkey"} == DEFAULT_PROCESSES.keys() - {"cli"}


def test_a_section_that_is_not_there_is_noticed() -> None:
    assert rows(COMPARISON)
    with pytest.raises(ValueError, match="not enough values"):
        rows("2020-01-01, capacity")
