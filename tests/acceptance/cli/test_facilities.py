"""`gridproof facilities`: a portfolio is imported as a whole, or all its problems are reported."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.callback_addresses import PostgresCallbackAddresses
from application.weather.requirements import NO_SERVICE
from tests.acceptance.cli.terminal import PORTFOLIO, Terminal, changed
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


def events(terminal: Terminal) -> int:
    with psycopg.connect(terminal.database.admin_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM gridproof.demand_response_events").fetchone()
    assert row is not None
    return int(row[0])


def test_an_import_registers_everything_in_the_portfolio(terminal: Terminal) -> None:
    report = terminal.document("facilities", "import", terminal.file(PORTFOLIO))

    assert (report["utilities"], report["programs"], report["facilities"]) == (1, 1, 3)
    assert report["domain_events"] > 3
    terminal.project()
    listed = terminal.document("facilities", "list")["facilities"]
    assert [row["facility_id"] for row in listed] == ["fac-001", "fac-002", "fac-003"]
    assert {row["curtailable_kw"] for row in listed} == {40.0}


def test_an_import_says_what_is_missing_for_the_weather_and_what_follows(terminal: Terminal) -> None:
    located: Any = PORTFOLIO
    for number in range(3):
        located = changed(located, ["facilities", number, "latitude"], 34.0)
        located = changed(located, ["facilities", number, "longitude"], -118.0 - number)
        located = changed(located, ["facilities", number, "weather_cell"], f"cell-{number}")
    key = {"GRIDPROOF_WEATHER_KEY": "env:GRIDPROOF_SECRET_WEATHER"}

    def said(portfolio: Any, **environ: str) -> list[str]:
        result = terminal.run("facilities", "import", terminal.file(portfolio), environ=environ)
        assert result.exit_code == 0
        return [line for line in result.stderr.splitlines() if "weather" in line]

    assert said(PORTFOLIO) == [NO_SERVICE]
    assert said(PORTFOLIO, GRIDPROOF_WEATHER_URL="http://127.0.0.1:1") == []
    (unlocated,) = said(PORTFOLIO, **key)
    assert unlocated.startswith("weather cell default: no facility there has coordinates")
    assert said(located, **key) == []
    (quota,) = said(located, **key, GRIDPROOF_WEATHER_QUOTA_PER_MONTH="1000")
    assert quota.startswith("3 weather cells need 84 calls a day, the contract allows 32")


def test_importing_again_records_nothing_new(terminal: Terminal) -> None:
    terminal.import_portfolio()
    before = events(terminal)

    again = terminal.run("facilities", "import", terminal.file(PORTFOLIO))

    assert "nothing new" in again.stdout
    assert events(terminal) == before


def test_an_import_of_a_change_records_only_the_change(terminal: Terminal) -> None:
    terminal.import_portfolio()
    larger = changed(PORTFOLIO, ["facilities", 1, "zones", 0, "curtailable_kw"], 55.0)

    report = terminal.document("facilities", "import", terminal.file(larger))

    assert report["domain_events"] == 1


CHANGED = changed(
    changed(PORTFOLIO, ["programs", 0, "minimum_duration_s"], 1800),
    ["programs", 0, "baseline"],
    {"method": "x-of-y", "parameters": {"x": 4}},
)
LEVELLED = {
    "programs": [{"program_id": "base", "utility_id": "city-power", "baseline_method": "firm-service-level"}],
    "facilities": [changed(PORTFOLIO["facilities"][0], ["programs"], ["summer-peak", "base"])],
}


def test_a_dry_run_prints_the_difference_and_records_nothing(terminal: Terminal) -> None:
    terminal.import_portfolio()
    before = events(terminal)
    larger = changed(CHANGED, ["facilities", 1, "zones", 0, "curtailable_kw"], 55.0)

    said = terminal.run("facilities", "import", terminal.file(larger), "--dry-run").stdout.splitlines()

    assert said[0] == "program summer-peak: version 2"
    assert "  minimum_duration_s: 900 -> 1800" in said
    assert '  baseline.method: "caiso-10-in-10" -> "x-of-y"' in said
    assert "  baseline.parameters.x: 5 -> 4" in said
    assert "facility fac-002: zone-defined" in said
    assert "  zones.zone-1.curtailable_kw: 40.0 -> 55.0" in said
    assert said[-1] == "1 utility, 1 program, 3 facilities: 2 changes to record"
    assert events(terminal) == before


def test_an_import_counts_and_shows_the_changes_of_programs(terminal: Terminal) -> None:
    terminal.import_portfolio()

    report = terminal.document("facilities", "import", terminal.file(CHANGED))

    assert (report["domain_events"], report["dry_run"]) == (1, False)
    (program,) = report["changes"]["programs"]
    assert (program["program_id"], program["version"], program["is_new"]) == ("summer-peak", 2, False)
    assert {"member": "minimum_duration_s", "before": 900, "after": 1800} in program["changes"]
    again = terminal.document("facilities", "import", terminal.file(CHANGED), "--dry-run")
    assert (again["domain_events"], again["changes"]["programs"]) == (0, [])


def test_a_contract_that_can_never_be_measured_is_refused_with_its_reason(terminal: Terminal) -> None:
    terminal.import_portfolio()
    before = events(terminal)

    result = terminal.run("facilities", "import", terminal.file(LEVELLED))

    assert result.exit_code == 1
    assert "facilities[0].programs[1].level_kw: no_service_level: base has the baseline" in result.stderr
    assert events(terminal) == before
    enrolments = ["summer-peak", {"program_id": "base", "kw": 30, "level_kw": "12.5"}]
    levelled = changed(LEVELLED, ["facilities", 0, "programs"], enrolments)
    assert terminal.document("facilities", "import", terminal.file(levelled))["domain_events"] == 3


def test_facilities_may_come_in_a_later_file_than_their_program(terminal: Terminal) -> None:
    terminal.import_portfolio()
    later = {"facilities": [changed(PORTFOLIO["facilities"][0], ["facility_id"], "fac-009")]}

    assert terminal.run("facilities", "import", terminal.file(later)).exit_code == 0


def test_every_wrong_field_is_named_with_its_path_and_nothing_is_imported(terminal: Terminal) -> None:
    wrong: Any = PORTFOLIO
    wrong = changed(wrong, ["facilities", 0, "zones", 0, "curtailable_kw"], -3)
    wrong = changed(wrong, ["facilities", 1, "latitude"], "north")
    wrong = changed(wrong, ["facilities", 2, "colour"], "green")
    wrong = changed(wrong, ["programs", 0, "acceptable_share"], 7)
    wrong = changed(wrong, ["utilities", 0, "utility_id"], "City Power!")
    del wrong["facilities"][2]["bms"]

    result = terminal.run("facilities", "import", terminal.file(wrong))

    assert (result.exit_code, result.stdout) == (1, "")
    for path in (
        "facilities[0].zones[0].curtailable_kw: ",
        "facilities[1].latitude: ",
        "facilities[2].colour: ",
        "facilities[2].bms: is missing (fac-003)",
        "programs[0].acceptable_share: ",
        "utilities[0].utility_id: ",
    ):
        assert path in result.stderr
    assert "6 problems" in result.stderr
    assert events(terminal) == 0


def test_wrong_references_are_named_together_with_wrong_fields(terminal: Terminal) -> None:
    wrong: Any = changed(PORTFOLIO, ["programs", 0, "forecast_guardrail"], "warnn")
    wrong = changed(wrong, ["facilities", 0, "programs"], ["winter"])
    wrong = changed(wrong, ["facilities", 1, "zones", 0, "curtailable_kw"], -3)

    result = terminal.run("facilities", "import", terminal.file(wrong))

    assert result.exit_code == 1
    for problem in (
        "programs[0].forecast_guardrail: Invalid enum value 'warnn'; use block, accept_no_weather, warn",
        "facilities[0].programs: there is no program winter",
        "facilities[1].zones[0].curtailable_kw: ",
    ):
        assert problem in result.stderr
    assert "3 problems" in result.stderr


def test_invalid_references_are_reported(terminal: Terminal) -> None:
    wrong: Any = changed(PORTFOLIO, ["facilities", 0, "programs"], ["winter"])
    wrong = changed(wrong, ["facilities", 1, "facility_id"], "fac-001")
    wrong = changed(wrong, ["facilities", 2, "tz"], "Mars/Olympus")
    wrong = changed(wrong, ["programs", 0, "utility_id"], "nobody")
    wrong = changed(wrong, ["utilities", 0, "callback_secret_ref"], "hunter2")

    result = terminal.run("facilities", "import", terminal.file(wrong))

    assert result.exit_code == 1
    for problem in (
        "facilities[0].programs: there is no program winter",
        "facilities: fac-001 stands there 2 times",
        "facilities[2].tz: Mars/Olympus is no IANA time zone, such as Europe/London (fac-003)",
        "programs[0].utility_id: there is no utility nobody",
        "utilities[0].callback_secret_ref: a secret is referred to",
    ):
        assert problem in result.stderr
    assert "hunter2" not in result.stderr
    assert events(terminal) == 0


def test_an_unreadable_file_is_a_failure_and_a_missing_file_a_usage_error(terminal: Terminal) -> None:
    broken = terminal.folder / "broken.yaml"
    broken.write_text("facilities: [", encoding="utf-8")

    failed = terminal.run("facilities", "import", broken)
    missing = terminal.run("facilities", "import", terminal.folder / "absent.yaml")

    assert (failed.exit_code, missing.exit_code) == (1, 2)
    assert "neither YAML nor JSON" in failed.stderr


def test_progress_goes_to_stderr_in_plain_lines(terminal: Terminal) -> None:
    result = terminal.run("facilities", "import", terminal.file(PORTFOLIO), "--json")

    assert "entries: 5 of 5" in result.stderr
    assert result.stdout.startswith("{")


def test_the_list_of_an_empty_portfolio_explains_how_to_import_one(terminal: Terminal) -> None:
    result = terminal.run("facilities", "list")

    assert result.exit_code == 0
    assert "gridproof facilities import" in result.stdout


def test_a_list_warns_while_its_read_model_is_behind(terminal: Terminal) -> None:
    terminal.import_portfolio()

    behind = terminal.run("facilities", "list", "--json")
    terminal.project()
    caught_up = terminal.run("facilities", "list", "--json")

    assert "gridproof worker project" in behind.stderr
    assert caught_up.stderr == ""


def test_a_secret_reference_outside_is_refused_and_a_recorded_one_named(terminal: Terminal) -> None:
    outside = changed(PORTFOLIO, ["utilities", 0, "callback_secret_ref"], "env:CITY_SECRET")
    refused = terminal.run("facilities", "import", terminal.file(outside))
    terminal.import_portfolio()
    with psycopg.connect(terminal.database.admin_dsn) as connection:
        connection.execute("UPDATE gridproof.utilities SET callback_secret_ref = 'env:CITY_SECRET'")

    again = terminal.run("facilities", "import", terminal.file(outside))
    checks = doctor_checks(terminal, {"CITY_SECRET": "s3"})

    for result in (refused, again):
        assert result.exit_code == 1
        assert "utilities[0].callback_secret_ref: this reference is outside" in result.stderr
    assert (checks["secrets"]["state"], checks["bms addresses"]["state"]) == ("wrong", "ok")
    assert (
        "utility city-power, callback_secret_ref: the secret env:CITY_SECRET" in checks["secrets"]["detail"]
    )
    assert "import the portfolio with the new" in checks["secrets"]["advice"]


def doctor_checks(terminal: Terminal, environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = json.loads(terminal.run("doctor", "--json", environ=environ).stdout)
    return {one["check"]: one for one in found["checks"]}


def test_a_secret_that_is_not_there_is_named_at_import_and_by_the_doctor(terminal: Terminal) -> None:
    file = terminal.folder / "data" / "secrets" / "bms" / "fac"
    portfolio = changed(
        PORTFOLIO, ["utilities", 0, "webhook_secret_ref"], "env:GRIDPROOF_SECRET_WEBHOOK_CITY"
    )
    portfolio = changed(portfolio, ["facilities", 1, "bms", "credentials_ref"], f"file:{file}")

    imported = terminal.run("facilities", "import", terminal.file(portfolio))
    terminal.project()
    absent = doctor_checks(terminal, {})["secrets"]
    file.parent.mkdir(parents=True)
    file.write_text("user:password")
    present = doctor_checks(terminal, {"GRIDPROOF_SECRET_WEBHOOK_CITY": "s3"})["secrets"]
    again = terminal.run(
        "facilities", "import", terminal.file(portfolio), environ={"GRIDPROOF_SECRET_WEBHOOK_CITY": "s3"}
    )

    assert imported.exit_code == 0, "the secret may be for another process"
    for named in (
        "utility city-power, webhook_secret_ref: the secret env:GRIDPROOF_SECRET_WEBHOOK_CITY",
        str(file),
    ):
        assert named in imported.stderr
        assert named in absent["detail"]
    assert (absent["state"], len(absent["facts"]["unresolved"])) == ("wrong", 2)
    assert (present["state"], "a secret is not there" in again.stderr) == ("ok", False)


def test_coordinates_and_callback_addresses_are_forgotten_as_administrative_acts(terminal: Terminal) -> None:
    located = changed(PORTFOLIO, ["facilities", 0, "latitude"], 37.77)
    located = changed(located, ["facilities", 0, "longitude"], -122.42)
    terminal.document("facilities", "import", terminal.file(located))
    with ConnectionPool[Any](terminal.database.app_dsn, min_size=1, max_size=1) as pool:
        PostgresCallbackAddresses(pool).add("city-power", "https://city.example/cb?token=x", drawn=uuid4())
    terminal.project()
    before = terminal.document("facilities", "list")["facilities"][0]
    forget = ("facilities", "forget", "--coordinates-of", "fac-001", "--callbacks-of", "city-power")
    first, again = terminal.run(*forget), terminal.run(*forget)
    terminal.import_portfolio()  # it names no coordinates
    after = terminal.document("facilities", "list")["facilities"][0]

    assert (before["latitude"], before["longitude"]) == (37.77, -122.42)
    assert (after["latitude"], after["longitude"]) == (None, None)
    assert first.stdout.splitlines() == [
        "the coordinates of fac-001 are forgotten",
        "1 callback address of city-power forgotten",
    ]
    assert "forgotten already" in again.stdout
    acts = terminal.document("audit", "administration")["acts"]
    assert sorted(act["what"] for act in acts if act["what"].endswith("forgotten")) == [
        "1 callback address of utility city-power forgotten",
        "coordinates of facility fac-001 forgotten",
    ]
    assert terminal.run("facilities", "forget").exit_code == 2
    assert terminal.run("facilities", "forget", "--coordinates-of", "fac-999").exit_code == 1
