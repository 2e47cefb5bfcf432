"""What `gridproof dr-events show` says of the error of a measurement."""

from msgspec.structs import replace

from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.uncertainty import SavingsUncertainty
from interfaces.cli.dr_events import error_of
from projections.dispatch.projection import MeasurementRow

MEASURED = MeasurementRow(
    baseline_method="caiso-10-in-10",
    days=("2026-07-13",),
    skipped_days=0,
    adjustment_kind="none",
    adjustment_value=None,
    adjustment_raw=None,
    adjustment_clipped=False,
    holidays=(),
    holidays_of="US",
    coverage_pct=100.0,
    intervals=1,
    missing_intervals=0,
    baseline_kw=100.0,
    metered_kw=90.0,
    data_hash="",
)


def test_a_regression_is_shown_with_its_uncertainty() -> None:
    known = SavingsUncertainty(
        kw_80=5.04,
        kw_90=6.5,
        share_80=0.5,
        share_90=0.65,
        observations=1680,
        effective_observations=200.0,
        autocorrelation=0.8,
    )
    assert error_of(replace(MEASURED, uncertainty=known)) == "+-5.0 kW at 80 %, +-6.5 kW at 90 %"


def test_another_method_is_shown_with_its_error_on_other_days() -> None:
    error = ExpectedError(bias=-0.012, cvrmse=0.071, days=10)
    assert error_of(replace(MEASURED, expected_error=error)) == "bias -1.2%, CVRMSE 7.1% (10 days)"


def test_an_unmeasured_figure_is_not_shown() -> None:
    assert error_of(MEASURED) is None
    assert error_of(None) is None
