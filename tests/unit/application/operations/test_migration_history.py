"""Which histories of migrations fit together: one begins with the other."""

import pytest

from application.operations.migration_history import history_difference

OURS = {"0001_a.sql": "a", "0002_b.sql": "b", "0003_c.sql": "c"}


@pytest.mark.parametrize(
    "applied",
    [{}, {"0001_a.sql": "a"}, OURS, {"0003_c.sql": "c", "0002_b.sql": "b", "0001_a.sql": "a"}],
    ids=["an empty database", "a beginning of ours", "ours", "ours in another order"],
)
def test_a_part_of_our_history_is_upgraded(applied: dict[str, str]) -> None:
    assert history_difference(applied, OURS) is None


def test_a_history_that_goes_on_after_ours_is_of_a_newer_release() -> None:
    assert history_difference(OURS | {"0004_d.sql": "d", "0005_e.sql": "e"}, OURS) is None


@pytest.mark.parametrize(
    ("applied", "difference"),
    [
        (OURS | {"0002_b.sql": "B"}, "its migration 0002_b.sql is not that of this version"),
        (
            {"0001_a.sql": "a", "0002_other.sql": "b"},
            "it has the migration 0002_other.sql, and this version 0002_b.sql",
        ),
        (
            {"0001_a.sql": "a", "0003_c.sql": "c"},
            "it has the migration 0003_c.sql, and this version 0002_b.sql",
        ),
        (
            OURS | {"0002_a.sql": "x"},
            "it has the migration 0002_a.sql, and this version 0002_b.sql",
        ),
    ],
    ids=["another text", "another name", "one is missing", "one more among ours"],
)
def test_the_first_difference_is_named(applied: dict[str, str], difference: str) -> None:
    assert history_difference(applied, OURS) == difference
