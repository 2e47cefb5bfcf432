"""The meter of docs/architecture.md: no figure is worse than the page says."""

import ast

import pytest

from tests.architecture import house

BEST_HIGH = {"classes with a docstring", "public functions with a docstring"}


def number(figure: str) -> float:
    return float(figure.replace(",", "").removesuffix(" %"))


@pytest.mark.parametrize("name", house.FIGURES)
def test_no_figure_is_worse_than_the_page_says(name: str) -> None:
    on_page = number(house.rows_of(house.PAGE.read_text())[name][1])
    now = number(house.written(house.FIGURES[name]()))
    worse = now < on_page if name in BEST_HIGH else now > on_page
    assert not worse, (
        f"{name}: {now:,} now, {on_page:,} on the page; take something away, or run house.py --write and say why"
    )


def test_the_page_has_the_figures_of_the_meter_and_no_other() -> None:
    assert list(house.rows_of(house.PAGE.read_text())) == list(house.FIGURES)


def test_classes_and_functions_stay_documented() -> None:
    rows = house.rows_of(house.PAGE.read_text())
    assert number(rows["classes with a docstring"][1]) >= 90
    assert number(rows["public functions with a docstring"][1]) >= 67


def test_the_count_leaves_out_imports_and_docstrings() -> None:
    tree = ast.parse('"""Text."""\nimport os\n\n\ndef f():\n    """Text."""\n    return 1\n')
    assert sum(isinstance(node, ast.stmt) for node in house.counted_nodes(tree)) == 2


def test_a_long_text_in_python_counts_as_the_lines_of_a_file_would() -> None:
    assert house.lines_of_texts(ast.parse('SQL = """SELECT 1\nFROM a\n"""\nSHORT = "SELECT 1"\n')) == 3


@pytest.mark.parametrize(
    ("docstring", "lacking"),
    [
        ("Those that count.", True),
        ("What an import stores.", True),
        ("One of the rows.", True),
        ("Whether it is away.", True),
        ("One row of the log.", False),
        ("Whether the day is a holiday.", False),
        ("The rows that count.", False),
    ],
)
def test_a_docstring_lacks_its_noun_if_its_first_word_only_points_at_one(
    docstring: str, lacking: bool
) -> None:
    assert house.lacks_its_noun(docstring) is lacking


def test_the_page_keeps_what_was_measured_before() -> None:
    page = house.HEAD + "| ports | 78 | 78 |\n\nrest"
    assert (
        house.page_with({"ports": "74", "streams": "0"}, page)
        == house.HEAD + "| ports | 78 | 74 |\n| streams | 0 | 0 |\n\nrest"
    )
