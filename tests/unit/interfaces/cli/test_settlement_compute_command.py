"""`gridproof settlement compute`: settlements from files, its errors and exit status."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.readings_file import open_readings_file
from interfaces.cli.settlement.commands import settlement_group
from tests.settlement_cases import PROPORTIONAL

DAY = datetime(2026, 7, 14, tzinfo=UTC)
STARTS, ENDS = DAY + timedelta(hours=18), DAY + timedelta(hours=20)
RULE = {
    "schema": "settlement-rule/1",
    "currency": "USD",
    "capacity": {"rate": "4.00", "unit": "kw-event", "tiers": PROPORTIONAL},
    "energy": {"rate": "1.50"},
    "performance": {"places": 2, "max": "1"},
}
"""V1 of docs/settlement.md."""


@pytest.fixture(autouse=True)
def _without_composition_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the composition root, which would import every adapter."""
    monkeypatch.setattr("interfaces.cli.settlement.compute.open_readings", open_readings_file)
    monkeypatch.setattr("interfaces.cli.settlement.compute.regression_fitter", lambda: None)


class Folder:
    """The files of one settlement: fifteen days at 500 kW, on the last 400 and 420 kW from 18:00 to 20:00 UTC."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write_readings()
        self.write_program()
        self.write_event()

    def write_readings(self, loads_kw: Mapping[int, str] | None = None, name: str = "readings.csv") -> Path:
        """`loads_kw`: hour of the last day -> kWh of each of its quarter-hours times four; "": missing."""
        of_day = {18: "100", 19: "105"} | dict(loads_kw or {})
        lines = ["facility,timestamp,load_kwh"]
        for quarter in range(-15 * 96, 96):
            at = DAY + timedelta(minutes=15 * quarter)
            lines.append(f"fac-001,{at.isoformat()},{of_day.get(quarter // 4, '125')}")
        return self.write(name, "\n".join(lines) + "\n")

    def write_program(self, **members: Any) -> Path:
        document: dict[str, Any] = {
            "program_id": "summer-peak",
            "version": 3,
            "baseline": {"method": "caiso-10-in-10", "parameters": {}},
            "holidays": ["2026-07-03"],
            "enrolments": {"fac-001": "150.000"},
            "settlement": RULE,
            "remark": "other members are ignored",
        }
        return self.write("program.json", json.dumps(document | members))

    def write_event(self, facility: Mapping[str, Any] | None = None, **members: Any) -> Path:
        one = {"facility_id": "fac-001", "tz": "UTC", "result": "committed", "committed_kw": "100.000"}
        document: dict[str, Any] = {
            "dr_event_id": "UTIL-1",
            "program_id": "summer-peak",
            "kind": "event",
            "status": "completed",
            "starts_at": STARTS.isoformat(),
            "ends_at": ENDS.isoformat(),
            "facilities": [one | dict(facility or {})],
        }
        return self.write("event.json", json.dumps(document | members))

    def write(self, name: str, content: str) -> Path:
        path = self.path / name
        path.write_text(content)
        return path

    def run(self, *options: str, readings: str = "readings.csv") -> Result:
        files = {"--readings": readings, "--program": "program.json", "--event": "event.json"}
        given = [part for option, name in files.items() for part in (option, str(self.path / name))]
        return CliRunner().invoke(settlement_group, ["compute", *given, *options])

    def document(self, *options: str, readings: str = "readings.csv") -> Any:
        ran = self.run("--json", *options, readings=readings)
        assert ran.exit_code == 0, ran.stderr
        return json.loads(ran.stdout)

    def refused(self, *options: str, readings: str = "readings.csv") -> tuple[str, str]:
        ran = self.run("--json", *options, readings=readings)
        assert (ran.exit_code, ran.stdout) == (1, "")
        error = json.loads(ran.stderr)
        assert set(error) == {"error", "detail"}
        return error["error"], error["detail"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_first_vector_is_settled_from_files(folder: Folder) -> None:
    document = folder.document()
    assert set(document) == {"settlements", "period"}
    assert document["period"] is None
    (settlement,) = document["settlements"]
    assert settlement["schema"] == "settlement/1"
    assert [(line["component"], line["amount"]) for line in settlement["lines"]] == [
        ("capacity", "360.00"),
        ("energy", "270.00"),
    ]
    assert (settlement["total"], settlement["status"], settlement["performance"]) == (
        "630.00",
        "settled",
        "0.90",
    )
    (one,) = settlement["facilities"]
    assert one["steps"][0] == {
        "starts_at": "2026-07-14T18:00:00Z",
        "adjusted_kw": "500.000",
        "metered_kw": "400.000",
    }
    assert len(one["baseline"]["days"]) == 10
    assert "2026-07-03" not in one["baseline"]["days"]


def test_a_table_shows_the_formula_in_numbers(folder: Folder) -> None:
    ran = folder.run("--period", "2026-07")
    assert ran.exit_code == 0, ran.stderr
    for shown in ("4.00 x 100.000 kW x 0.90", "360.00", "1.50 x 180.000 kWh", "total 630.00 USD"):
        assert shown in ran.stdout


def test_a_month_adds_the_capacity_that_is_paid_with_it(folder: Folder) -> None:
    rule = RULE | {"capacity": {"rate": "8.00", "unit": "kw-month", "tiers": PROPORTIONAL}}
    folder.write_program(settlement=rule)
    period = folder.document("--period", "2026-07")["period"]
    assert (period["period"], period["total"]) == ("2026-07", "1080.00")
    assert period["lines"][0]["formula"] == "8.00 x 150.000 kW x 0.90 x 1 month"
    assert period["facilities"] == [{"facility_id": "fac-001", "gross": "1080.00", "net": "1080.00"}]


def test_several_events_make_several_settlements(folder: Folder) -> None:
    first = folder.write_event(dr_event_id="UTIL-0", kind="event").rename(folder.path / "first.json")
    folder.write_event()
    found = folder.document("--event", str(first))["settlements"]
    assert [one["dr_event_id"] for one in found] == ["UTIL-1", "UTIL-0"]


def test_an_event_that_was_cancelled_before_is_not_settled_and_no_error(folder: Folder) -> None:
    folder.write_event(status="cancelled", ended_at=DAY.isoformat())
    (settlement,) = folder.document()["settlements"]
    assert (settlement["status"], settlement["reasons"], settlement["lines"], settlement["total"]) == (
        "not_settled",
        ["cancelled_before_start"],
        [],
        "0.00",
    )


def test_a_facility_with_too_few_days_is_left_out_for_its_baseline(folder: Folder) -> None:
    days = [f"2026-07-{day:02}" for day in range(6, 14)]
    folder.write_event({"event_days": days})
    (settlement,) = folder.document()["settlements"]
    assert (settlement["status"], settlement["reasons"]) == ("not_settled", ["baseline"])
    assert "baseline days" in settlement["facilities"][0]["baseline"]["impossible"]


def test_a_facility_without_readings_is_left_out(folder: Folder) -> None:
    folder.write_event({"facility_id": "fac-404"})
    assert folder.document()["settlements"][0]["reasons"] == ["baseline"]


def test_a_facilitys_own_level_goes_before_that_of_the_program(folder: Folder) -> None:
    baseline = {"method": "firm-service-level", "parameters": {"level_kw": 450}}
    folder.write_program(baseline=baseline)
    assert folder.document()["settlements"][0]["units"][0]["counted_kwh"] == "80.000"
    folder.write_event({"level_kw": 440})
    assert folder.document()["settlements"][0]["units"][0]["counted_kwh"] == "60.000"


def test_the_window_of_a_facility_that_left_ends_there_and_its_baseline_too(folder: Folder) -> None:
    folder.write_event({"result": "opted_out", "opted_out_at": (STARTS + timedelta(minutes=50)).isoformat()})
    (one,) = folder.document()["settlements"][0]["facilities"]
    assert [step["starts_at"][11:16] for step in one["steps"]] == ["18:00", "18:15", "18:30"]


def test_commitments_go_before_the_committed_power(folder: Folder) -> None:
    commitments = [{"from": (STARTS + timedelta(hours=1)).isoformat(), "kw": "60"}]
    folder.write_event({"commitments": commitments})
    (unit,) = folder.document()["settlements"][0]["units"]
    assert [one["committed_kw"] for one in unit["intervals"]] == ["0.000", "60.000"]


def test_members_that_are_null_have_their_defaults(folder: Folder) -> None:
    before = folder.document()
    folder.write_program(holidays=None, enrolments=None)
    folder.write_event({"commitments": None, "opted_out_at": None, "tz": None}, prices=None, ended_at=None)
    assert folder.document()["settlements"][0]["lines"] == before["settlements"][0]["lines"]


def test_loads_are_those_of_the_file_to_the_last_digit(folder: Folder) -> None:
    folder.write_readings({18: "100.125125"})
    steps = folder.document()["settlements"][0]["facilities"][0]["steps"]
    assert steps[0]["metered_kw"] == "400.501"


def test_corrected_readings_make_the_next_revision_with_its_reason(folder: Folder) -> None:
    earlier = folder.write("earlier.json", folder.run("--json").stdout)
    folder.write_readings({19: "110"}, "corrected.csv")
    (revised,) = folder.document("--previous", str(earlier), readings="corrected.csv")["settlements"]
    assert (revised["revision"], revised["total"]) == (1, "560.00")
    assert revised["resettlement"]["by_reason"] == [{"why": "meter", "amount": "-70.00"}]
    assert revised["resettlement"]["changes"][0] == {
        "unit": "fac-001",
        "component": "capacity",
        "old": "360.00",
        "new": "320.00",
        "difference": "-40.00",
    }
    assert [one["flag"] for one in revised["flags"]] == ["late_readings"]


def test_the_same_figures_make_no_revision_even_after_the_deadline(folder: Folder) -> None:
    before = folder.run("--json").stdout
    earlier = folder.write("earlier.json", before)
    late = ("--previous", str(earlier), "--at", "2027-01-01T00:00:00Z")
    assert folder.document(*late) == json.loads(before)


def test_one_settlements_document_is_an_earlier_result_too(folder: Folder) -> None:
    one = json.loads(folder.run("--json").stdout)["settlements"][0]
    earlier = folder.write("settlement-0.json", json.dumps(one))
    folder.write_readings({19: "110"})
    assert folder.document("--previous", str(earlier))["settlements"][0]["revision"] == 1


@pytest.mark.parametrize("member", ["starts_at", "ends_at"])
def test_an_earlier_result_with_a_time_without_offset_is_refused(folder: Folder, member: str) -> None:
    earlier = json.loads(folder.run("--json").stdout)
    earlier["settlements"][0]["inputs"]["event"][member] = "2026-07-14T18:00:00"
    folder.write_readings({19: "110"})
    code, detail = folder.refused("--previous", str(folder.write("earlier.json", json.dumps(earlier))))
    assert code == "schema"
    assert member in detail


@pytest.mark.parametrize(("at", "refused"), [("2026-09-12T20:00:00Z", False), ("2026-09-12T20:00:01Z", True)])
def test_nothing_is_settled_again_after_the_deadline(folder: Folder, at: str, refused: bool) -> None:
    earlier = folder.write("earlier.json", folder.run("--json").stdout)
    folder.write_readings({19: "110"})
    options = ("--previous", str(earlier), "--at", at)
    if refused:
        assert folder.refused(*options)[0] == "deadline"
    else:
        assert folder.document(*options)["settlements"][0]["revision"] == 1


def test_a_missing_price_is_refused(folder: Folder) -> None:
    folder.write_program(settlement=RULE | {"energy": {"price": "event"}})
    folder.write_event(prices=[{"starts_at": STARTS.isoformat(), "per_kwh": "0.08123"}])
    code, detail = folder.refused()
    assert code == "price_missing"
    assert "2026-07-14T19:00:00" in detail


def test_a_kind_that_the_rule_does_not_name_is_refused(folder: Folder) -> None:
    folder.write_event(kind="test")
    assert folder.refused()[0] == "unknown_kind"


WRONG_PROGRAMS: list[tuple[dict[str, Any], str]] = [
    ({"settlement": RULE | {"share": "1.5"}}, "settlement.share: share_range"),
    ({"settlement": RULE | {"energy": {"rate": 1.5}}}, "settlement.energy.rate: "),
    ({"settlement": RULE | {"enrgy": {"rate": "1.5"}}}, "settlement.enrgy: there is no such field"),
    ({"settlement": None}, "settlement: is missing"),
    ({"baseline": {"method": "guess"}}, "baseline.method: there is no method 'guess'"),
    (
        {"baseline": {"method": "x-of-y", "parameters": {"x": 5, "y": 4}}},
        "baseline.parameters: x-of-y needs 1 <= x",
    ),
    ({"holidays": ["14 July"]}, "holidays[0]: "),
    ({"enrolments": {"fac-001": 150}}, "enrolments.fac-001: "),
    ({"program_id": "other"}, "is of program 'summer-peak', and the program is 'other'"),
    ({"settlement": RULE | {"interval_s": 1000}}, "interval_s 1000 is no multiple of the metering step"),
]


@pytest.mark.parametrize(("members", "named"), WRONG_PROGRAMS)
def test_a_wrong_program_is_refused_by_the_path_of_its_member(
    folder: Folder, members: dict[str, Any], named: str
) -> None:
    folder.write_program(**members)
    code, detail = folder.refused()
    assert code == "schema"
    assert named in detail


WRONG_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"starts_at": "2026-07-14T18:00:00"}, "starts_at: '2026-07-14T18:00:00' has no UTC offset"),
    ({"ends_at": STARTS.isoformat()}, "ends_at: is not after starts_at"),
    ({"ends_at": (STARTS + timedelta(days=32)).isoformat()}, "ends_at: is more than 31 days"),
    ({"status": "over"}, "status: "),
    ({"status": "cancelled_while_active"}, "ended_at: is missing"),
    ({"facilities": [{"facility_id": "a", "tz": "Mars/Base"}]}, "facilities[0].tz: 'Mars/Base'"),
    ({"facilities": [{"facility_id": "a", "committed_kw": "-1"}]}, "facilities[0].committed_kw: "),
    ({"facilities": [{"facility_id": "a"}, {"facility_id": "a"}]}, "facilities[1].facility_id: 'a' stands"),
    ({"facilities": [{"result": "committed"}]}, "facilities[0].facility_id: is missing"),
    ({"facilities": [{"facility_id": "a", "level_kw": 1e400}]}, "is no finite number"),
]


@pytest.mark.parametrize(("members", "named"), WRONG_EVENTS)
def test_a_wrong_event_is_refused_by_the_path_of_its_member(
    folder: Folder, members: dict[str, Any], named: str
) -> None:
    path = folder.write_event(**members)
    folder.write(path.name, path.read_text().replace("Infinity", "1e400"))
    code, detail = folder.refused()
    assert code == "schema"
    assert named in detail


@pytest.mark.parametrize("depth", [600, 900])
def test_an_event_that_is_nested_too_deeply_is_refused(folder: Folder, depth: int) -> None:
    folder.write("event.json", '{"x": ' + "[" * depth + "]" * depth + "}")
    assert folder.refused()[0] == "schema"


def test_a_dr_event_that_is_given_twice_is_refused(folder: Folder) -> None:
    code, detail = folder.refused("--event", str(folder.path / "event.json"))
    assert (code, detail) == ("schema", "DR event UTIL-1 is given twice")


def test_all_wrong_members_are_named_at_once(folder: Folder) -> None:
    folder.write_event(status="over", ends_at="soon")
    detail = folder.refused()[1]
    assert "status: " in detail
    assert "ends_at: 'soon'" in detail


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"a": NaN', "\x00"])
def test_what_is_no_json_object_is_refused(folder: Folder, content: str) -> None:
    for name in ("program.json", "event.json"):
        kept_content = (folder.path / name).read_text()
        folder.write(name, content)
        assert folder.refused()[0] == "schema"
        folder.write(name, kept_content)
    assert folder.refused("--previous", str(folder.write("earlier.json", content)))[0] == "schema"


def test_a_readings_file_that_is_wrong_is_refused_with_its_line(folder: Folder) -> None:
    folder.write("readings.csv", "facility,timestamp,load_kwh\nfac-001,2026-07-14,1\n")
    code, detail = folder.refused()
    assert code == "schema"
    assert "readings.csv:2" in detail


def test_readings_in_different_steps_are_refused(folder: Folder) -> None:
    with (folder.path / "readings.csv").open("a") as file:
        file.writelines(f"fac-002,{(DAY + timedelta(hours=n)).isoformat()},1\n" for n in range(24))
    both = [{"facility_id": "fac-001"}, {"facility_id": "fac-002"}]
    folder.write_event(facilities=both)
    assert "steps of 900 and 3600 s" in folder.refused()[1]


@pytest.mark.parametrize(
    "options",
    [("--period", "July"), ("--at", "tomorrow"), ("--tz", "Mars/Base"), ("--previous", "no-such-file.json")],
)
def test_wrong_usage_has_an_exit_status_of_its_own(folder: Folder, options: tuple[str, str]) -> None:
    assert folder.run(*options).exit_code == 2
