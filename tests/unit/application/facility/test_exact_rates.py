"""Rates of a program's terms are exact decimals."""

from typing import Any

import pytest

from tests.sample_values import program_terms


@pytest.mark.parametrize(
    ("written", "exact"), [(4, "4"), (4.0, "4"), ("4.00", "4"), (0.35, "0.35"), (1e-7, "0.0000001")]
)
def test_equal_rates_are_equal_terms_however_they_are_written(written: Any, exact: str) -> None:
    assert program_terms(rate_per_kw=written).rate_per_kw == exact
