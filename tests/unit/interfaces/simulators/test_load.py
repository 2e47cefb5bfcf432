"""The load of the simulated buildings: modelled or recorded, and plausible for their zones."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interfaces.simulators.meters.load_model import LoadModel, history
from interfaces.simulators.meters.recorded_load import UnreadableReadings, facility_zones, read_recordings
from interfaces.simulators.sample_portfolio import make_portfolio, recorded_facilities
from interfaces.simulators.weather.climate import Climate
from tests.patience import START_S

TUESDAY_2PM = datetime(2026, 7, 14, 21, tzinfo=UTC)
LA = "America/Los_Angeles"


def test_a_building_draws_more_at_work_than_at_night_and_more_on_a_weekday_than_on_sunday() -> None:
    model = LoadModel("fac-001", tz=LA)
    at_work = model.load_kw(TUESDAY_2PM)
    assert at_work > 1.8 * model.load_kw(TUESDAY_2PM + timedelta(hours=12))
    assert at_work > 1.2 * model.load_kw(TUESDAY_2PM + timedelta(days=5))


def test_the_load_follows_local_time_across_a_dst_change() -> None:
    model = LoadModel("fac-001", tz=LA, weather_cell="c")
    before = [model.load_kw(datetime(2026, 3, 6, hour, 30, tzinfo=UTC)) for hour in (12, 15)]
    after = [model.load_kw(datetime(2026, 3, 9, hour, 30, tzinfo=UTC)) for hour in (11, 14)]
    for winter, summer in zip(before, after, strict=True):
        assert summer == pytest.approx(winter, rel=0.15)


def test_the_load_is_the_same_in_another_process_whatever_its_hash_seed() -> None:
    program = (
        "from datetime import datetime, UTC; from interfaces.simulators.meters.load_model import LoadModel;"
        "print(repr(LoadModel('fac-001', tz='America/Los_Angeles').load_kw(datetime(2026,7,14,21,tzinfo=UTC))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
        timeout=START_S,
    )
    assert float(done.stdout) == LoadModel("fac-001", tz=LA).load_kw(TUESDAY_2PM)


def test_the_history_is_the_mean_of_the_simulated_meter_readings() -> None:
    model = LoadModel("fac-002", tz=LA)
    (interval,) = history(model, TUESDAY_2PM, TUESDAY_2PM + timedelta(minutes=15), 900)
    live = [model.load_kw(TUESDAY_2PM + timedelta(seconds=second)) for second in range(0, 900, 15)]
    assert interval.load_kwh is not None
    assert interval.load_kwh * 4 == pytest.approx(sum(live) / len(live), rel=1e-3)
    assert interval.temp_c == model.temperature_c(TUESDAY_2PM)


def test_each_weather_cell_has_its_own_temperatures_in_a_plausible_summer_range() -> None:
    hours = [TUESDAY_2PM + timedelta(hours=hour) for hour in range(24 * 30)]
    here, there = ([Climate(cell).temperature_c(at) for at in hours] for cell in ("a", "b"))
    assert here != there
    assert 5 < min(here) < max(here) < 42
    warmest, coldest = hours[here.index(max(here))], hours[here.index(min(here))]
    assert warmest.hour in (22, 23, 0)
    assert coldest.hour in (10, 11, 12)


def test_the_sample_portfolio_can_shed_a_plausible_share_of_each_building_load() -> None:
    portfolio = make_portfolio(50, bms_url="http://127.0.0.1:9000")
    assert [entry.facility_id for entry in portfolio.facilities][::49] == ["fac-001", "fac-050"]
    for entry in portfolio.facilities:
        model = LoadModel(entry.facility_id, tz=entry.tz, weather_cell=entry.weather_cell)
        share = sum(zone.curtailable_kw for zone in entry.zones) / model.load_kw(TUESDAY_2PM)
        assert 0.08 < share < 0.25
        assert entry.bms.address == f"http://127.0.0.1:9000/buildings/{entry.facility_id}/bms"
    assert {len(entry.zones) for entry in portfolio.facilities} == {1, 2, 3}


def readings_file(path: Path, first: datetime, hours: int, facility: str = "school") -> Path:
    lines = ["facility,timestamp,load_kwh,temp_c"]
    for hour in range(hours):
        at = first + timedelta(hours=hour)
        load = "" if hour == 5 else str(100 + at.weekday() * 10 + at.hour)
        lines.append(f"{facility},{at.isoformat()},{load},{20 + at.hour / 2}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_recording_is_shifted_by_whole_weeks_to_cover_the_current_time(tmp_path: Path) -> None:
    first = datetime(2019, 1, 7, tzinfo=UTC)
    path = readings_file(tmp_path / "r.csv", first, 24 * 7 * 10)
    recording = read_recordings(path)["school"]
    weeks = recording.move_to_cover(TUESDAY_2PM)
    assert weeks > 0
    assert recording.load_kw(TUESDAY_2PM - timedelta(minutes=1)) == 100 + 10 + 20
    assert recording.load_kw(TUESDAY_2PM + timedelta(days=7)) is None
    assert recording.temperature_c(TUESDAY_2PM - timedelta(minutes=1)) == 30.0


def test_a_recording_that_covers_the_time_is_not_shifted(tmp_path: Path) -> None:
    path = readings_file(tmp_path / "r.csv", TUESDAY_2PM - timedelta(weeks=9), 24 * 7 * 10)
    assert read_recordings(path)["school"].move_to_cover(TUESDAY_2PM) == 0


def test_a_gap_in_a_recording_stays_a_gap(tmp_path: Path) -> None:
    first = datetime(2026, 7, 6, tzinfo=UTC)
    recording = read_recordings(readings_file(tmp_path / "r.csv", first, 48))["school"]
    assert recording.load_kw(first + timedelta(hours=5, minutes=10)) is None
    loads = [interval.load_kwh for interval in history(recording, first, first + timedelta(hours=8), 3600)]
    assert loads == [100.0, 101.0, 102.0, 103.0, 104.0, None, 106.0, 107.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("facility,timestamp\nschool,2026-01-01T00:00:00Z\n", "load_kwh"),
        ("facility,timestamp,load_kwh\nschool,2026-01-01T00:00:00,1\n", "offset"),
        ("facility,timestamp,load_kwh\nschool,yesterday,1\n", "yesterday"),
        ("facility,timestamp,load_kwh\nschool,2026-01-01T00:00:00Z,many\n", "many"),
        ("facility,timestamp,load_kwh\nschool,2026-01-01T00:00:00Z,1\n", "fewer than two"),
    ],
)
def test_the_error_for_an_unreadable_file_states_the_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableReadings, match=reason):
        read_recordings(path)


def test_the_error_for_a_facility_without_readings_names_it(tmp_path: Path) -> None:
    path = readings_file(tmp_path / "r.csv", TUESDAY_2PM, 3)
    with pytest.raises(UnreadableReadings, match="church"):
        read_recordings(path, {"school", "church"})


def test_parquet_and_csv_give_the_same_readings(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    csv_module, parquet = pytest.importorskip("pyarrow.csv"), pytest.importorskip("pyarrow.parquet")
    path = readings_file(tmp_path / "r.csv", TUESDAY_2PM, 30)
    table = csv_module.read_csv(path)
    table = table.set_column(1, "timestamp", table["timestamp"].cast(pyarrow.timestamp("us", tz="UTC")))
    parquet.write_table(table, tmp_path / "r.parquet")
    read = (read_recordings(path)["school"], read_recordings(tmp_path / "r.parquet")["school"])
    stories = [
        [recording.load_kw(TUESDAY_2PM + timedelta(hours=hour)) for hour in range(31)] for recording in read
    ]
    assert stories[0] == stories[1]


def test_a_portfolio_is_made_from_recorded_facilities_and_their_zones(tmp_path: Path) -> None:
    path = readings_file(tmp_path / "r.csv", TUESDAY_2PM, 30)
    (tmp_path / "facilities.csv").write_text("facility,tz\nschool,Europe/London\n", encoding="utf-8")
    recordings = read_recordings(path)
    samples = recorded_facilities({"school": recordings["school"].mean_kw}, facility_zones(path))
    (entry,) = make_portfolio(samples, bms_url="http://127.0.0.1:9000", without_dedup=["school"]).facilities
    assert (entry.tz, entry.bms.profile) == ("Europe/London", "two_phase_no_dedup")
    assert 0.1 < sum(zone.curtailable_kw for zone in entry.zones) / recordings["school"].mean_kw < 0.25
