"""Text of others in tables and fields."""

import pytest

from interfaces.cli.console.printing import print_fields, print_table, written

HOSTILE = "fac\x1b[2K\x1b]0;title\x07\u202e-001\nsecond \u00b0C"


def test_control_characters_of_others_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["detail"], [[HOSTILE]])
    print_fields([("detail", HOSTILE)])
    shown = capsys.readouterr().out
    assert [c for c in shown if c in "\x1b\x07\u202e"] == []
    assert shown.count("fac?[2K?]0;title??-001") == 2
    assert shown.count("second \u00b0C") == 2


def test_counts_by_reason_are_written_as_words() -> None:
    assert written({"no readings": 2, "no_baseline": 1}) == "no readings: 2, no_baseline: 1"
    assert written({}) == "-"
