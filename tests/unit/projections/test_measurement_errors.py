"""The row of a dispatch carries what its measurement in force says of its error."""

from application.commands.dispatch import RecordMeasurement, RecordRemeasurement
from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.uncertainty import SavingsUncertainty
from domain.identifiers import dispatch_id
from projections.dispatch.projection import DispatchRow, MeasurementRow
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, ENDS_AT

ERROR = ExpectedError(bias=0.01, cvrmse=0.07, days=10)
UNCERTAINTY = SavingsUncertainty(
    kw_80=5.0,
    kw_90=6.5,
    share_80=0.07,
    share_90=0.09,
    observations=1680,
    effective_observations=140.0,
    autocorrelation=0.85,
)


def measurement(there: InProcessSystem) -> MeasurementRow:
    read_models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    row = read_models.dispatches.get(str(dispatch_id(DR_EVENT_ID, "fac-001")))
    assert isinstance(row, DispatchRow)
    assert row.measurement is not None
    return row.measurement


def test_a_measurement_has_its_expected_error_and_one_by_regression_its_uncertainty() -> None:
    there = InProcessSystem.accepted("fac-001").until("completed")
    first = figures(expected_error=ERROR)
    there.do(RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id="fac-001", figures=first))
    assert (measurement(there).expected_error, measurement(there).uncertainty) == (ERROR, None)
    again = figures(80.0, "b", baseline_method="regression", uncertainty=UNCERTAINTY)
    there.do(
        RecordRemeasurement(
            dr_event_id=DR_EVENT_ID,
            facility_id="fac-001",
            figures=again,
            corrected_at=ENDS_AT,
            reason="readings were corrected",
        )
    )
    assert (measurement(there).expected_error, measurement(there).uncertainty) == (None, UNCERTAINTY)
