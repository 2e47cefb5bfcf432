"""`gridproof telemetry export` on fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from adapters.regression import StatsmodelsFitter
from application.commands.facility import RegisterFacility
from application.measurement.regression_source import RegressionSource
from domain.time_series.windows import IntervalSeries
from interfaces.cli.telemetry import export as command
from interfaces.cli.telemetry.commands import telemetry_group
from interfaces.cli.telemetry.export import ExportSources
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.weather.temperatures import FakeCellTemperatures
from tests.given_when_then import given
from tests.sample_values import facility_entry

T0 = datetime(2026, 7, 14, tzinfo=UTC)
QUARTER_S = 900
VALUES = [118.2, 1 / 3, None, 0.1 + 0.2, 1e-9, 98_765.432_1]


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> ExportSources:
    scenario = given().after(RegisterFacility(entry=facility_entry(weather_cell="cell-1")))
    telemetry, temperatures = FakeTelemetryStore(), FakeCellTemperatures()
    for number, kw in enumerate(VALUES):
        key = ("fac-001", int(T0.timestamp()) + number * QUARTER_S, QUARTER_S)
        telemetry.imported[key] = (np.nan if kw is None else kw, 30.5 if number < 2 else np.nan)
    temperatures.record("cell-1", IntervalSeries.of(T0, 3_600, [25.25]), final_until=T0)
    made = ExportSources(scenario.store, telemetry, RegressionSource(StatsmodelsFitter(), temperatures))

    @contextmanager
    def opened() -> Iterator[ExportSources]:
        yield made

    monkeypatch.setattr("interfaces.cli.telemetry.export.opened_sources", opened)
    return made


def export(out: Path, *options: str, facility: str = "fac-001", hours: float = 2) -> Result:
    span = ("--from", T0.isoformat(), "--to", (T0 + timedelta(hours=hours)).isoformat())
    return CliRunner().invoke(telemetry_group, ["export", facility, *span, "--out", str(out), *options])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_read_back_is_exactly_what_is_stored(
    sources: ExportSources, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"load.{ending}"
    result = export(path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["known"] == 5
    assert json.loads(result.stdout)["quarter_hours"] == 8
    found = open_readings_file(path).read()["fac-001"]
    assert found.step_s == QUARTER_S
    known = [None if np.isnan(kw) else kw for kw in found.load_kw().values.tolist()]
    assert known == [*VALUES, None, None]
    # The readings' own temperature, else that of the weather cell.
    degrees = [None if np.isnan(one) else one for one in found.temperature_c().values.tolist()]
    assert degrees == [30.5, 30.5, 25.25, 25.25, None, None, None, None]


def test_the_file_is_as_described(sources: ExportSources, tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    assert export(path).exit_code == 0
    lines = path.read_text().splitlines()
    assert lines[0] == "facility,timestamp,load_kwh,temp_c"
    assert lines[1] == "fac-001,2026-07-14T00:00:00Z,29.55,30.5"
    assert lines[3] == "fac-001,2026-07-14T00:30:00Z,,25.25"


def test_it_is_written_piece_by_piece_with_the_progress(
    sources: ExportSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "DAYS_AT_ONCE", 1)
    path = tmp_path / "load.parquet"
    result = export(path, hours=60)
    assert result.exit_code == 0
    assert "quarter-hours: 96 of 240" in result.stderr
    assert "quarter-hours: 240 of 240" in result.stderr
    assert f"{path}: 240 quarter-hours of fac-001, 5 of them with a value" in result.stdout
    assert len(open_readings_file(path).read()["fac-001"].starts_at) == 240


@pytest.mark.parametrize(
    ("out", "asked", "says"),
    [
        ("load.xml", {}, "ends with neither .csv nor .parquet"),
        ("load.csv", {"facility": "fac-009"}, "there is no facility fac-009; `gridproof facilities list`"),
        ("load.csv", {"hours": 0.1}, "is not on a quarter-hour"),
        ("load.csv", {"hours": -1}, "--to must be after --from"),
        ("nowhere/load.csv", {}, "was not written"),
    ],
)
def test_bad_input_is_named_and_leaves_no_file(
    sources: ExportSources, tmp_path: Path, out: str, asked: dict[str, Any], says: str
) -> None:
    result = export(tmp_path / out, **asked)
    assert result.exit_code in {1, 2}
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_not_overwritten(sources: ExportSources, tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("mine")
    assert export(path).exit_code == 1
    assert path.read_text() == "mine"


def test_a_store_that_is_away_leaves_no_file(sources: ExportSources, tmp_path: Path) -> None:
    assert isinstance(sources.telemetry, FakeTelemetryStore)
    sources.telemetry.available = False
    result = export(tmp_path / "load.csv")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "export again when the store is back" in result.stderr
