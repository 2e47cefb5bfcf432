"""Tables on narrow terminals: ids stay whole, columns are left out first."""

from types import SimpleNamespace
from typing import Any

import pytest

from interfaces.cli.console.printing import counted, print_table, written
from interfaces.cli.console.tables import Column, Layout
from interfaces.cli.forecast.reads import _quality

OURS = "7c1e94d8-52fa-5b60-9d3e-4a8f0c2b6e17"
COLUMNS = [
    Column("utility's id", "id"),
    Column("status"),
    Column("id", "our id"),
    Column("starts at"),
    Column("target kW"),
    Column("outcome"),
    Column("utility"),
]
ROW = [
    "UTIL-2026-0042-SOUTH",
    "cancelled_while_active",
    OURS,
    "2026-07-14 21:00:00Z",
    "1,200.0",
    "not measured",
    "city-power",
]


def titles(layout: Layout) -> list[str]:
    return [column.title for column in layout.columns]


def test_where_there_is_room_nothing_changes() -> None:
    layout, left_out = Layout(COLUMNS, [ROW]).fitted(200)

    assert (layout.rows, left_out) == ([ROW], [])


def test_at_80_columns_the_utilitys_id_is_whole_and_ours_shortened() -> None:
    layout, left_out = Layout(COLUMNS, [ROW]).fitted(80)

    assert layout.rows[0][:3] == ["UTIL-2026-0042-SOUTH", "cancelled_while_active", OURS[:8]]
    assert left_out == ["target kW", "outcome", "utility"]
    assert titles(layout) == ["utility's id", "status", "id", "starts at"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_id_and_no_word_breaks_at_any_width(width: int) -> None:
    layout, _ = Layout(COLUMNS, [ROW]).fitted(width)

    assert layout.rows[0][0] == "UTIL-2026-0042-SOUTH"
    assert layout.columns[1].title == "status"
    assert width < 60 or layout.fits(width)


def test_a_terminal_shows_ids_on_one_line_and_says_what_has_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    print_table(COLUMNS, [ROW])

    shown = capsys.readouterr()
    assert any(
        "UTIL-2026-0042-SOUTH" in line and "cancelled_while_active" in line for line in shown.out.splitlines()
    )
    assert max(len(line.rstrip()) for line in shown.out.splitlines()) <= 80
    assert "no room for target kW, outcome, utility; a wider terminal or --json shows it" in shown.err


def test_one_is_not_written_as_many() -> None:
    assert counted(1, "facility", "facilities") == "1 facility"
    assert counted(0, "facility", "facilities") == "0 facilities"


def test_a_number_is_printed_without_its_binary_tail() -> None:
    assert written(108.47999999999999) == "108.5"
    assert written((0.1 + 0.2, None)) == "0.3, -"


def test_a_stale_forecast_with_a_new_reading_says_what_is_stale() -> None:
    stale: Any = SimpleNamespace(data_quality="stale_data", reading_age_s=0.0)
    assert _quality(stale) == "stale_data: readings cover less than 90 % of the last day"
    old: Any = SimpleNamespace(data_quality="stale_data", reading_age_s=86_400.0)
    assert _quality(old) == "stale_data"
    full: Any = SimpleNamespace(data_quality="full", reading_age_s=0.0)
    assert _quality(full) == "full"
