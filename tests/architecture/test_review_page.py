"""The page about the reliability review: each finding has a row, what it names exists, and the budget adds up."""

import re
from decimal import Decimal

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import TEST, heading_anchors, is_run_by_ci, missing_tests, rows_in

PAGE = ROOT / "docs/review.md"
TEXT = PAGE.read_text()
FINDINGS = (
    "single database",
    "non-transactional dispatch",
    "consumer loss",
    "time-series blind spot",
    "batch without coordination",
    "weather cascade",
    "missing time-outs",
    "no dead letters",
    "cache stampede",
    "mixed-version writes",
    "forecast idempotency",
    "200 before validation",
    "tracing",
    "webhook flood",
    "capacity",
    "poison messages",
    "runbooks",
    "backpressure",
    "log archive",
    "health checks",
)
HEADING = ["finding", "countermeasure", "mechanism", "shown by", "figure", "what is missing"]
BUDGET_HEADING = [
    "outage",
    "webhook, s",
    "commands, s",
    "source",
    "times",
    "webhook, s a month",
    "commands, s a month",
]
NOT_TESTED = "not tested"
NOT_MEASURED = "not measured"
NOTHING_BUILT = "none"
MONTH_S = Decimal(730 * 3_600)
BAR_S = MONTH_S * Decimal("0.005")
LINK = re.compile(r"\]\((?!https?:)[^)\s]+\)")
SOURCE_PATH = re.compile(r"`((?:adapters|application|domain|interfaces|projections)/[\w/.]+)`")
NUMBER = re.compile(r"[\d,]+(?:\.\d+)?")


def section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


ROWS = rows_in(section("Findings"), HEADING)
BUDGET = rows_in(section("Availability budget"), BUDGET_HEADING)
OUTAGES = [row for row in BUDGET if row[4]]
RESULTS = {row[0]: row[5:] for row in BUDGET if not row[4]}


def seconds(cell: str) -> Decimal:
    assert NUMBER.fullmatch(cell), cell
    return Decimal(cell.replace(",", ""))


SUMS = [sum((seconds(row[column]) for row in OUTAGES), Decimal()) for column in (5, 6)]
RESTORE_S = [seconds(row[column]) for column in (5, 6) for row in OUTAGES if "backup" in row[0]]


def percent(part: Decimal, places: str) -> str:
    return f"{(100 * part).quantize(Decimal(places))} %"


def test_exactly_the_findings_of_the_review_have_rows() -> None:
    assert list(dict.fromkeys(row[0] for row in ROWS)) == list(FINDINGS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:60])
def test_a_countermeasure_is_shown_by_a_test_of_ci_or_said_to_be_missing(row: list[str]) -> None:
    assert len(row) == len(HEADING)
    assert all(row)
    if row[3] == NOT_TESTED:
        assert row[2] == NOTHING_BUILT
        assert row[4] == NOT_MEASURED
        assert row[5].startswith("all of it")
    else:
        assert LINK.search(row[2]) or SOURCE_PATH.search(row[2])
        assert is_run_by_ci(row[3])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:60])
def test_a_figure_names_its_source(row: list[str]) -> None:
    assert row[4].startswith(NOT_MEASURED) or (re.search(r"\d", row[4]) and LINK.search(row[4]))


def test_every_named_test_exists() -> None:
    assert missing_tests(TEXT) == []
    assert all(name.startswith("test_") for _, name in TEST.findall(TEXT))


def test_every_path_leads_somewhere() -> None:
    assert [path for path in SOURCE_PATH.findall(TEXT) if not (ROOT / path).exists()] == []


def test_a_heading_has_the_fragment_of_its_words() -> None:
    assert heading_anchors("# A `b`, c\n## 2026-11-28\n") == {"a-b-c", "2026-11-28"}


@pytest.mark.parametrize("row", OUTAGES, ids=lambda row: row[0])
def test_an_outage_takes_its_seconds_as_often_as_is_assumed(row: list[str]) -> None:
    assert len(row) == len(BUDGET_HEADING)
    assert "assumed" in row[3] or LINK.search(row[3])
    for each, in_all in ((row[1], row[5]), (row[2], row[6])):
        assert seconds(each) * int(row[4]) == seconds(in_all)


def test_the_sums_of_the_budget_are_those_of_its_rows_and_under_the_bar() -> None:
    without = [whole - restore for whole, restore in zip(SUMS, RESTORE_S, strict=True)]
    assert [seconds(cell) for cell in RESULTS["sum"]] == SUMS
    assert RESULTS[f"share of the {BAR_S:,.0f} s"] == [percent(whole / BAR_S, "0.1") for whole in SUMS]
    assert RESULTS["availability of that month"] == [percent(1 - whole / MONTH_S, "0.01") for whole in SUMS]
    assert [seconds(cell) for cell in RESULTS["sum without the restore"]] == without
    assert RESULTS["availability without the restore"] == [
        percent(1 - whole / MONTH_S, "0.01") for whole in without
    ]
    assert max(SUMS) < BAR_S


def test_the_longest_restore_is_what_the_other_outages_leave() -> None:
    stated = re.search(r"it may last ([\d,]+) s \((\d+) h (\d+) min\)", " ".join(TEXT.split()))
    assert stated is not None
    left_s = BAR_S - (SUMS[0] - RESTORE_S[0])
    assert seconds(stated[1]) == left_s
    assert f"{stated[2]} h {stated[3]} min" == f"{left_s // 3_600:.0f} h {left_s % 3_600 // 60:.0f} min"


def test_the_readme_and_the_operator_guide_link_to_the_page() -> None:
    assert "docs/review.md" in (ROOT / "README.md").read_text()
    assert "../review.md" in (ROOT / "docs/guides/operator.md").read_text()
