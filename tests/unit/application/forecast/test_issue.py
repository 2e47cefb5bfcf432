"""Forecasts that share a save: a batch that is too large is halved, and lost races are reported."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from application.commands.forecast import Issue, IssueForecast
from application.forecast import issue as issuing
from application.forecast.issue import ForecastIssuing, TooManyRaces, cycle_context
from application.ports.event_store.event_store import SaveBounds, SaveTooLarge, VersionConflict
from domain.forecast import Forecast, ForecastInputs, ForecastModel
from domain.identifiers import forecast_stream_id
from domain.time_series.quantiles import CompactSteps
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore

AT = datetime(2026, 7, 14, 20, 15, tzinfo=UTC)
IDS = [f"fac-{number:03}" for number in range(250)]


def command(facility_id: str, *, quality: str = "none", seed: int = 0) -> IssueForecast:
    """A large and irregular load that does not compress well."""
    drawn = np.random.default_rng([seed, int(facility_id[4:])]).uniform(0, 40_000, size=(3, 96))
    return IssueForecast(
        facility_id=facility_id,
        cycle_start=AT,
        inputs=ForecastInputs(
            input_hash=f"{seed:064x}",
            newest_reading_at=AT,
            sensor_coverage_pct=100.0,
            weather_available=quality == "full",
            weather_age_s=0.0 if quality == "full" else None,
        ),
        model=ForecastModel(name="made up", version="1", trained_at=AT),
        steps=CompactSteps.of(AT, 900, np.sort(drawn, axis=0)),
    )


def issue(store: FakeEventStore, commands: list[IssueForecast]) -> list[issuing.Outcome]:
    one = ForecastIssuing(store, FakeClock(AT))
    recorded = one.recorded([forecast_stream_id(c.facility_id, AT) for c in commands])
    return one.issue([(c, cycle_context(c, "test")) for c in commands], recorded)


def named(outcomes: list[issuing.Outcome]) -> list[str]:
    return [one.outcome if isinstance(one, Issue) else type(one).__name__ for one in outcomes]


def test_forecasts_of_large_and_irregular_loads_fit_into_their_saves() -> None:
    assert named(issue(FakeEventStore(), [command(one) for one in IDS])) == ["issued"] * 250


def test_a_batch_too_large_for_one_save_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "OF_A_CYCLE", SaveBounds(100, 6_000))
    store = FakeEventStore()
    assert named(issue(store, [command(one) for one in IDS[:7]])) == ["issued"] * 7
    better = [command(one, quality="full", seed=1) for one in IDS[:7]]
    assert named(issue(store, better)) == ["reissued"] * 7
    known = store.load_many(Forecast, [forecast_stream_id(one, AT) for one in IDS[:7]])
    assert {one.state.data_quality for one in known.values()} == {"full"}


def test_a_single_forecast_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "OF_A_CYCLE", SaveBounds(100, 600))
    with pytest.raises(SaveTooLarge):
        issue(FakeEventStore(), [command(one) for one in IDS[:2]])


def test_a_batch_that_loses_every_race_fails_and_the_others_are_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Contested(FakeEventStore):
        def save(self, aggregates: Sequence[Any], **others: Any) -> None:
            if any(one.state.facility_id == IDS[0] for one in aggregates):
                raise VersionConflict("another was first")
            super().save(aggregates, **others)

    found = issue(Contested(), [command(one) for one in IDS[:101]])
    assert named(found) == [TooManyRaces.__name__] * 100 + ["issued"]


def test_a_recorded_forecast_is_retained_over_worse_ones_and_conflicts_only_with_equal_ones() -> None:
    store = FakeEventStore()
    issue(store, [command("fac-001", quality="full"), command("fac-002")])
    offers = [command("fac-001", seed=1), command("fac-002", seed=1)]
    kept, conflict = issue(store, offers)
    assert isinstance(kept, Issue)
    assert (kept.outcome, kept.data_quality) == ("kept", "full")
    assert named([conflict]) == ["ForecastConflict"]
    known = store.load_many(Forecast, [forecast_stream_id(one, AT) for one in IDS[1:3]])
    assert {one.state.inputs.input_hash for one in known.values()} == {f"{0:064x}"}
