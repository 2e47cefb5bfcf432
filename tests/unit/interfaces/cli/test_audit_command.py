"""`gridproof audit replay` and `gridproof projections`: text output and JSON output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from domain.program import Program
from interfaces.cli import projections
from interfaces.cli.audit import commands
from projections.audit.replay import DREventNotRecorded
from projections.engine.maintenance import RebuildReport, VerifyReport, compare_rows
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import AnyProjection
from projections.engine.stored_row import stored_form
from projections.registry import PROJECTIONS
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk


class FakeMaintenance:
    """Verifies the rows of read models in memory against a fold of the same log."""

    def __init__(self, walk: PortfolioWalk, models: FakeReadModels) -> None:
        self.walk, self.models = walk, models

    def rebuild(self, projection: AnyProjection, *, workers: int = 1, progress: Any) -> RebuildReport:
        position = self.walk.log.head()
        progress(position, position)
        return RebuildReport(name=projection.name, position=position, domain_events=len(self.walk.entries))

    def verify(self, projection: AnyProjection, *, progress: Any) -> VerifyReport:
        fresh: MemoryRows[Any] = MemoryRows(projection)
        fresh.fold(self.walk.entries)
        live = self.models.rows[projection.name].by_key
        stored = {key: stored_form(row) for key, row in live.items()}
        return compare_rows(projection, fresh.position, projection.version, stored, fresh)


@pytest.fixture
def walk() -> PortfolioWalk:
    made = PortfolioWalk()
    made.happy()
    return made


@pytest.fixture
def models(walk: PortfolioWalk, monkeypatch: pytest.MonkeyPatch) -> FakeReadModels:
    made = FakeReadModels(walk.entries)
    stores = SimpleNamespace(
        stream_log=lambda: FakeStreamLog(walk.entries),
        read_models=lambda: made,
        events=walk.log,
        projection_maintenance=lambda: FakeMaintenance(walk, made),
    )

    @contextmanager
    def opened() -> Iterator[Any]:
        yield stores

    monkeypatch.setattr(commands, "opened_stores", opened)
    monkeypatch.setattr(projections, "opened_stores", opened)
    return made


def run(group: Any, *arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def test_a_replay_prints_every_step_as_text(walk: PortfolioWalk, models: FakeReadModels) -> None:
    result = run(commands.audit_group, "replay", "UTIL-1")
    assert result.exit_code == 0, result.output
    assert "Utility util-1 first spoke of its event UTIL-1" in result.output
    assert "fac-003 is restored" in result.output
    assert "worker:dispatch" in result.output
    assert "dispatch.bms-command-attempted.v1" in result.output  # the cause of an outcome
    assert "settlement      measured" in result.output


def test_a_replay_prints_the_trace_of_each_step(walk: PortfolioWalk, models: FakeReadModels) -> None:
    result = run(commands.audit_group, "replay", "UTIL-1")
    traces = {entry.domain_event.trace_id for entry in walk.entries if entry.topic.startswith("dr-event.")}
    assert traces
    assert all(trace in result.output for trace in traces)


def test_a_replay_of_a_facility_and_of_a_program_prints_every_change(
    walk: PortfolioWalk, models: FakeReadModels
) -> None:
    walk._program()
    facility = run(commands.audit_group, "replay", "--facility", "fac-001")
    assert facility.exit_code == 0, facility.output
    assert "fac-001 registered: time zone America/Los_Angeles" in " ".join(facility.output.split())
    assert "fac-001 is reserved" in " ".join(facility.output.split())
    opened = next(entry.domain_event for entry in walk.entries if entry.topic == "program.opened.v1")
    assert isinstance(opened, Program.Opened)
    program = run(commands.audit_group, "replay", "--program", opened.program_id, "--json")
    document = json.loads(program.stdout)
    assert document["utility_id"] == opened.utility_id
    assert [step["topic"] for step in document["steps"]] == ["program.opened.v1"]


@pytest.mark.parametrize(
    "arguments", [[], ["UTIL-1", "--facility", "fac-001"], ["--facility", "a", "--program", "b"]]
)
def test_a_replay_is_of_one_subject(models: FakeReadModels, arguments: list[str]) -> None:
    result = run(commands.audit_group, "replay", *arguments)
    assert result.exit_code == 2
    assert "--program" in result.output


def test_a_replay_with_json_prints_one_document(walk: PortfolioWalk, models: FakeReadModels) -> None:
    result = run(commands.audit_group, "replay", str(walk.dr_events[0].id), "--json")
    document = json.loads(result.stdout)
    assert document["utility_event_id"] == "UTIL-1"
    assert document["dr_event"]["status"] == "completed"
    assert set(document["dispatches"]) == {"fac-001", "fac-002", "fac-003"}
    step = document["steps"][-1]
    assert {"who", "what", "why", "caused_by", "recorded_at", "topic", "position"} <= set(step)
    assert step["caused_by"]["what"]


def test_a_replay_as_of_a_time_shows_the_state_at_that_time(
    walk: PortfolioWalk, models: FakeReadModels
) -> None:
    accepted = next(entry for entry in walk.entries if entry.topic == "dr-event.accepted.v1")
    as_of = accepted.domain_event.recorded_at.isoformat()
    document = json.loads(run(commands.audit_group, "replay", "UTIL-1", "--as-of", as_of, "--json").stdout)
    assert document["dr_event"]["status"] == "accepted"
    assert document["dispatches"] == {}
    assert document["reserved_facilities"] == ["fac-001", "fac-002", "fac-003"]


def test_a_replay_of_an_unknown_dr_event_suggests_a_command(models: FakeReadModels) -> None:
    result = run(commands.audit_group, "replay", "UTIL-404")
    assert isinstance(result.exception, DREventNotRecorded)
    assert "gridproof dr-events list" in str(result.exception)


@pytest.mark.parametrize("moment", ["yesterday", "2026-07-14T21:00:00"])
def test_an_invalid_as_of_is_a_usage_error(models: FakeReadModels, moment: str) -> None:
    assert run(commands.audit_group, "replay", "UTIL-1", "--as-of", moment).exit_code == 2


def test_the_list_shows_every_projection(walk: PortfolioWalk, models: FakeReadModels) -> None:
    assert "audit_trail" in run(projections.projections_group, "list").output
    document = json.loads(run(projections.projections_group, "list", "--json").stdout)
    assert {found["lag"] for found in document["projections"]} == {0}
    assert {found["position"] for found in document["projections"]} == {walk.log.head()}


def test_a_verification_that_finds_a_difference_exits_with_3_and_names_it(models: FakeReadModels) -> None:
    assert run(projections.projections_group, "verify", "--all").exit_code == 0
    models.dr_events._rows.by_key.clear()
    result = run(projections.projections_group, "verify", "dr_events")
    assert result.exit_code == 3
    assert "missing in the live rows" in result.output
    document = json.loads(run(projections.projections_group, "verify", "--all", "--json").stdout)
    assert [found["name"] for found in document["verified"] if not found["equal"]] == ["dr_events"]


def test_a_rebuild_reports_its_last_position(walk: PortfolioWalk, models: FakeReadModels) -> None:
    result = run(projections.projections_group, "rebuild", "dr_events", "--json")
    (report,) = json.loads(result.stdout)["rebuilt"]
    assert (report["name"], report["position"]) == ("dr_events", walk.log.head())
    assert report["domain_events"] == len(walk.entries)
    assert run(projections.projections_group, "rebuild", "--all").output.count("domain events") == 6


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda item: item.name)
def test_every_read_model_is_rebuilt_in_several_processes(
    models: FakeReadModels, projection: AnyProjection
) -> None:
    assert run(projections.projections_group, "rebuild", projection.name, "--workers", "3").exit_code == 0


@pytest.mark.parametrize("arguments", [[], ["dr_events", "--all"], ["dr-events"]])
@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_a_missing_or_unknown_projection_name_is_a_usage_error(
    models: FakeReadModels, command: str, arguments: list[str]
) -> None:
    result = run(projections.projections_group, command, *arguments)
    assert result.exit_code == 2
    assert "projections list" in result.output or "there are dr_events" in result.output
