"""`gridproof settlement run|show|export|statement` over a DR event that was measured from stored readings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from adapters.readings_file import open_readings_file
from domain.identifiers import program_stream_id
from domain.program import BaselineTerms, Program
from domain.program.settlement_rule import Capacity, Energy, SettlementRule, Tier
from interfaces.cli import main
from interfaces.cli.settlement.running import RunningSystem
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.given_when_then import Scenario, given
from tests.measured_portfolio import MeasuredPortfolio, measured_portfolio, terms
from tests.sample_values import CONTEXT
from tests.tenant_system import stored_program

RULE = SettlementRule(
    currency="USD",
    energy=Energy(rate="1.50"),
    capacity=Capacity(rate="4.00", unit="kw-event", tiers=(Tier(from_="0", a="0", b="1"),)),
)
BASELINE = BaselineTerms(method="high-5-of-10")


class System:
    """Behind the commands: two facilities whose measurements were computed from stored quarter-hours."""

    def __init__(self, portfolio: MeasuredPortfolio) -> None:
        self.portfolio = portfolio
        self.scenario: Scenario = given(entry.domain_event for entry in portfolio.walk.entries)
        self.scenario.clock.moment = portfolio.walk.now
        self.reference = str(portfolio.dr_event_id)

    @contextmanager
    def opened(self) -> Iterator[RunningSystem]:
        entries = self.scenario.store.read_after(0, 100_000)
        yield RunningSystem(
            bus=self.scenario.bus,
            events=cast("Any", self.scenario.store),
            log=FakeStreamLog(entries),
            models=cast("Any", FakeReadModels(entries)),
            documents=self.scenario.settlements,
            program=partial(stored_program, self.scenario.store),
            telemetry=lambda: self.portfolio.walk.telemetry,
            temperatures=lambda: cast("Any", None),
            clock=self.scenario.clock,
            context=lambda _: CONTEXT,
        )

    def new_rule(self, rule: SettlementRule) -> None:
        program = self.scenario.store.load(Program, program_stream_id("summer-peak"))
        agreed = program.state.terms
        assert agreed is not None
        program.agree_terms(self.portfolio.walk.provenance(), terms=replace(agreed, settlement=rule))
        self.scenario.store.append(cast("Any", program.collect_events()))


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, portfolio: MeasuredPortfolio) -> System:
    made = System(portfolio)
    for module in ("run", "show", "export", "statement"):
        monkeypatch.setattr(f"interfaces.cli.settlement.{module}.opened_system", made.opened)
    monkeypatch.setattr("interfaces.cli.settlement.compute.open_readings", open_readings_file)
    monkeypatch.setattr("interfaces.cli.settlement.compute.regression_fitter", lambda: None)
    return made


@pytest.fixture(scope="module")
def portfolio() -> MeasuredPortfolio:
    agreed = replace(terms(BASELINE, None), settlement=RULE)
    return measured_portfolio(baseline=BASELINE, recorded_terms=agreed, facilities=2)


def invoke(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["settlement", *arguments])
    assert result.exit_code == status, result.output
    return result


def test_a_settlement_is_run_once_and_a_repeat_says_that_nothing_changed(system: System) -> None:
    first = invoke("run", system.reference, "--reason", "checked by phone")
    assert "revision" in first.output
    assert "0, new" in first.output
    again = json.loads(invoke("run", system.reference, "--json").output)
    assert (again["revision"], again["recorded"]) == (0, False)


def test_before_it_is_settled_every_command_says_what_is_waited_for(system: System, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "new")]
    for arguments in (
        ["show", system.reference],
        ["export", system.reference, *out],
        ["statement", system.reference, "--utility", "--format", "csv", *out],
    ):
        assert "not settled yet: it" in invoke(*arguments, status=1).output
    assert list(tmp_path.iterdir()) == []


def test_it_is_shown_with_its_formula_in_numbers_and_its_revisions(system: System) -> None:
    invoke("run", system.reference)
    system.new_rule(replace(RULE, energy=Energy(rate="2.00")))
    invoke("run", system.reference, "--reason", "a higher rate was agreed")
    shown = invoke("show", system.reference).output
    document = json.loads(invoke("show", system.reference, "--json").output)
    assert document["revision"] == 1
    assert f"total {document['total']} USD" in shown
    assert document["lines"][0]["formula"] in shown
    assert "a higher rate was agreed" in shown
    assert [one["why"] for one in document["resettlement"]["by_reason"]] == ["rule"]
    earlier = json.loads(invoke("show", system.reference, "--revision", "0", "--json").output)
    assert earlier["revision"] == 0
    assert "newest is 1" in invoke("show", system.reference, "--revision", "5", status=1).output


def test_with_the_same_rule_a_new_version_changes_nothing(system: System) -> None:
    invoke("run", system.reference)
    system.new_rule(replace(RULE, energy=Energy(rate="2.00")))
    again = json.loads(invoke("run", system.reference, "--rule", "same", "--json").output)
    assert (again["revision"], again["recorded"]) == (0, False)


def test_an_export_recomputes_to_the_same_settlement_offline(system: System, tmp_path: Path) -> None:
    invoke("run", system.reference)
    folder = tmp_path / "export"
    invoke("export", system.reference, "--out", str(folder))
    assert sorted(file.name for file in folder.iterdir()) == [
        "event.json",
        "program.json",
        "readings.csv",
        "settlement-0.json",
        "settlement.json",
    ]
    files = ["--readings", "readings.csv", "--program", "program.json", "--event", "event.json"]
    paths = [one if one.startswith("--") else str(folder / one) for one in files]
    (computed,) = json.loads(invoke("compute", *paths, "--json").stdout)["settlements"]
    stored = json.loads((folder / "settlement.json").read_bytes())
    assert figures_of(computed) == figures_of(stored)
    assert Decimal(stored["total"]) != 0
    entries = system.scenario.store.read_after(0, 100_000)
    row = FakeReadModels(entries).dr_events.get(system.reference)
    assert row is not None
    assert row.settlement is not None
    assert sha256((folder / "settlement.json").read_bytes()).hexdigest() == row.settlement.digest


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """All but where the baselines were recorded, which a file cannot know."""
    facilities = [
        one | {"baseline": {**one["baseline"], "domain_event_id": None, "late_readings": False}}
        for one in document["facilities"]
    ]
    return document | {"facilities": facilities, "origins": {}}


def test_an_export_overwrites_nothing(system: System, tmp_path: Path) -> None:
    invoke("run", system.reference)
    (tmp_path / "event.json").write_text("mine")
    assert "is there already" in invoke("export", system.reference, "--out", str(tmp_path), status=1).output
    assert [file.name for file in tmp_path.iterdir()] == ["event.json"]
    assert (tmp_path / "event.json").read_text() == "mine"


@pytest.mark.parametrize("of", ["dr-event", "month"])
@pytest.mark.parametrize("who", ["utility", "facility"])
def test_statements_are_written_to_a_file(system: System, tmp_path: Path, of: str, who: str) -> None:
    invoke("run", system.reference)
    what = [system.reference] if of == "dr-event" else ["--program", "summer-peak", "--period", "2026-07"]
    for_whom = ["--utility"] if who == "utility" else ["--facility", "fac-001"]
    page, records = tmp_path / "page.html", tmp_path / "records.csv"
    invoke("statement", *what, *for_whom, "--format", "html", "--out", str(page))
    written = invoke("statement", *what, *for_whom, "--format", "csv", "--out", str(records))
    assert (of == "month") == ("provisional, because the period is not over" in written.output)
    assert (of == "month") == ("provisional" in page.read_text())
    assert ("fac-002" in page.read_text()) == ("fac-002" in records.read_text()) == (who == "utility")
    sums: dict[str, Decimal] = {}
    for record in csv.DictReader(io.StringIO(records.read_text())):
        sums[record["record"]] = sums.get(record["record"], Decimal(0)) + Decimal(record["amount"] or "0")
    assert sums["line"] == sums["facility"] == sums["total"] != 0


@pytest.mark.parametrize(
    "wrong",
    [
        ["--utility"],
        ["X", "--program", "summer-peak", "--utility"],
        ["--program", "summer-peak", "--utility"],
        ["X"],
        ["X", "--utility", "--facility", "fac-001"],
        ["--program", "summer-peak", "--period", "July", "--utility"],
    ],
)
def test_a_wrong_choice_is_wrong_usage(system: System, tmp_path: Path, wrong: list[str]) -> None:
    invoke("statement", *wrong, "--format", "csv", "--out", str(tmp_path / "new"), status=2)


def test_errors_name_the_next_step(system: System, tmp_path: Path) -> None:
    out = ["--format", "csv", "--out", str(tmp_path / "new")]
    invoke("run", system.reference)
    assert (
        "settlement show" in invoke("statement", system.reference, "--facility", "x", *out, status=1).output
    )
    no_program = ["statement", "--program", "x", "--period", "2026-07", "--utility", *out]
    assert "dr-events list" in invoke(*no_program, status=1).output
    assert "dr-events list" in invoke("show", "no-such", status=1).output
    assert "1 to 1,000" in invoke("run", system.reference, "--reason", " ", status=2).output
