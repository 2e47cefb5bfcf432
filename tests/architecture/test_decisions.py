"""Decision records: complete, listed, and each confirmed by tests that exist."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

RECORDS = sorted((ROOT / "docs/adr").glob("0*.md"))
SECTIONS = ["Context", "Options", "Decision", "Consequences", "Confirmation"]


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    index = (ROOT / "docs/adr/README.md").read_text()
    assert [record.name for record in RECORDS if record.name not in index] == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_is_confirmed_by_tests_that_exist(record: Path) -> None:
    content = record.read_text()
    assert re.findall(r"^## (.+)$", content, re.MULTILINE) == SECTIONS
    named = re.findall(r"`(tests/[\w/]+\.py)`", content.partition("## Confirmation")[2])
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
