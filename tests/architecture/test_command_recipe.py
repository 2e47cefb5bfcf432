"""docs/guides/developer.md, A command: its files are exactly those in which the parts of its example stand."""

import re
from functools import cache

import pytest

from tests.architecture.source_tree import ROOT, committed_texts

GUIDE = (ROOT / "docs/guides/developer.md").read_text()
RECIPE = GUIDE.partition("### A command\n")[2].partition("\n### ")[0]
ROW = re.compile(r"^\| `([\w/.-]+)` \| .+ \| `(.+)` \|$", re.MULTILINE)
PARTS = dict(ROW.findall(RECIPE))
"""File -> the text in it that is its part of the example."""
EXAMPLE = re.compile(
    r'ReactivateFacility|reactivate_facility|\bReactivated\b|facility\.reactivated|/reactivation"'
    r'|\{facility_id\}/reactivation|command\("reactivate"|path: "reactivation"|`reactivate F'
)
"""A part of the command that is the example: its names in the code, on the wire and on the page."""
LISTED = re.compile(r"facility\.reactivated|\{facility_id\}/reactivation")
"""What a list of all topics or of all routes has of it."""
TELLS_OF_IT = (
    "CHANGELOG.md",
    "docs/adr/",
    "docs/guides/developer.md",
    "tests/architecture/test_command_recipe.py",
)


@cache
def files_with(pattern: re.Pattern[str]) -> set[str]:
    """Every file of the project, by its path, that has a text of the pattern in its name or contents."""
    names = {str(file.relative_to(ROOT)): file for file in committed_texts()}
    return {
        name
        for name, file in names.items()
        if not name.startswith(TELLS_OF_IT) and (pattern.search(name) or pattern.search(file.read_text()))
    }


@pytest.mark.parametrize("path", PARTS)
def test_a_file_of_the_recipe_has_its_part_of_the_example(path: str) -> None:
    assert PARTS[path] in (ROOT / path).read_text()


def test_every_file_of_the_product_and_its_pages_with_a_part_is_in_the_recipe() -> None:
    found = {path for path in files_with(EXAMPLE) if not path.startswith("tests/")}
    assert found == {path for path in PARTS if not path.startswith("tests/")}


def test_every_list_of_topics_or_routes_in_the_tests_is_in_the_recipe() -> None:
    found = {path for path in files_with(LISTED) if path.startswith("tests/")}
    assert found - PARTS.keys() == set()
    assert found


def test_each_kind_of_behaviour_has_its_test_in_the_recipe() -> None:
    kinds = ("tests/unit/application/", "tests/acceptance/api/", "tests/acceptance/cli/", "tests/browser/")
    assert [kind for kind in kinds if not any(path.startswith(kind) for path in PARTS)] == []
