"""The list of what people change, and the replay of one facility or program: from the log, with what was before."""

from __future__ import annotations

from typing import Any, get_args
from uuid import uuid4

import msgspec
import pytest
from eventsourcing.utils import get_topic, resolve_topic

from application.command_bus.decision_context import CommandContext
from application.commands.facility import (
    EndMaintenance,
    OptInFacility,
    OptOutFacility,
    RegisterFacility,
    StartMaintenance,
)
from application.commands.program import AgreeProgram
from domain.administration import AdministrativeAct
from domain.aggregates import LISTED_TOPICS, topics_of
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import OF_DR_EVENT, Facility
from domain.program import Program
from interfaces.cli.audit.administration import KINDS
from projections.audit.act_descriptions import ACT_DESCRIPTIONS
from projections.audit.administration import ACT_KINDS, Act, ActFilter, ActKind, kind_of, read_acts
from projections.audit.differences import MOST_NAMED, differences
from projections.audit.facility_descriptions import FACILITY_DESCRIPTIONS
from projections.audit.stream_log import PositionAhead, StreamEntry
from projections.audit.subject_replay import SubjectNotRecorded, facility_replay, program_replay
from tests.fakes.stream_log import FakeStreamLog
from tests.given_when_then import Scenario, given
from tests.sample_values import (
    CONTEXT,
    NOW,
    PROGRAM,
    UTILITY,
    facility_entry,
    portfolio_commands,
    program_entry,
    provenance,
    zone_entry,
)

ANNA = msgspec.structs.replace(CONTEXT, actor="operator:anna-1")


def log_of(scenario: Scenario, *acts: AdministrativeAct) -> FakeStreamLog:
    log = FakeStreamLog()
    recorded: list[Any] = [
        *scenario.store.domain_events,
        *(one for act in acts for one in act.collect_events()),
    ]
    log.entries = [StreamEntry(position, one) for position, one in enumerate(recorded, 1)]
    return log


def changed(*commands: Any, by: CommandContext = ANNA) -> Scenario:
    """A program and two facilities, and then what somebody changes."""
    scenario = given().after(*portfolio_commands(facility_entry(), facility_entry("fac-002")))
    for command in commands:
        scenario.when(command, context=by)
    return scenario


def an_import(*facility_ids: str) -> AdministrativeAct:
    begun = msgspec.structs.replace(provenance(), causation_id=uuid4())
    return AdministrativeAct.begin_history_import(begun, file_sha256="0" * 64, facility_ids=facility_ids)


def test_whoever_raised_the_rate_is_named_with_the_rate_of_before() -> None:
    log = log_of(changed(AgreeProgram(entry=program_entry(rate_per_kw="2.5"))))
    act = read_acts(log, before=None, limit=1).acts[0]
    assert (act.who, act.kind, act.program_id) == ("operator:anna-1", "program", PROGRAM)
    assert act.what == f"program {PROGRAM} version 2: rate_per_kw 0 -> 2.5"
    assert act.trace_id == ANNA.trace_id


def test_a_changed_zone_says_what_it_was() -> None:
    entry = facility_entry(zones=(zone_entry("hall", 140.0),))
    log = log_of(changed(RegisterFacility(entry=entry)))
    [act] = read_acts(log, before=None, limit=1).acts
    assert act.what == "fac-001 zone hall changed: curtailable_kw 100.0 -> 140.0"
    assert act.facility_ids == ("fac-001",)


def test_maintenance_and_opt_outs_carry_their_reasons() -> None:
    log = log_of(
        changed(
            StartMaintenance(facility_id="fac-002", reason="a new chiller"),
            EndMaintenance(facility_id="fac-002"),
            OptOutFacility(facility_id="fac-002", reason="a wedding", by_owner=True),
            OptInFacility(facility_id="fac-002", reason="it is over"),
        )
    )
    acts = read_acts(log, before=None, limit=4).acts
    assert [(act.kind, act.what, act.why) for act in reversed(acts)] == [
        ("maintenance", "fac-002 maintenance started", "a new chiller"),
        ("maintenance", "fac-002 maintenance ended", None),
        ("opt_out", "fac-002 opted out of every DR event by its owner", "a wedding"),
        ("opt_out", "fac-002 opted in to every DR event", "it is over"),
    ]


def test_the_list_is_limited_to_a_kind_a_facility_or_a_program() -> None:
    log = log_of(
        changed(StartMaintenance(facility_id="fac-002", reason="a new chiller")),
        an_import("fac-001", "fac-002"),
    )

    def topics(**wanted: Any) -> set[str]:
        found = read_acts(log, before=None, limit=1_000, wanted=ActFilter(**wanted)).acts
        return {act.topic.rpartition(".")[0] for act in found}

    assert topics(kind="maintenance") == {"facility.maintenance-started"}
    assert topics(kind="import") == {"administration.history-import-begun"}
    assert topics(kind="maintenance", facility_id="fac-001") == set()
    assert "facility.maintenance-started" in topics(facility_id="fac-002")
    assert "administration.history-import-begun" in topics(facility_id="fac-002")
    assert topics(program_id=PROGRAM) == {
        "program.opened",
        "program.terms-agreed",
        "facility.enrolled-in-program",
    }
    assert topics(program_id="another") == set()


def test_who_may_see_one_facility_learns_of_no_other() -> None:
    log = log_of(changed(), an_import("fac-001", "fac-002"), an_import("fac-002"))
    mine = ActFilter(facility_id="fac-002", only_this=True)
    found = read_acts(log, before=None, limit=1_000, wanted=mine).acts
    assert "administration.history-import-begun.v1" in {act.topic for act in found}
    assert all(act.facility_ids == ("fac-002",) for act in found)
    replayed = facility_replay(log, "fac-002", only_this=True)
    assert "fac-001" not in msgspec.json.encode(replayed).decode()
    assert "fac-001" in msgspec.json.encode(facility_replay(log, "fac-002")).decode()
    of_program = read_acts(
        log, before=None, limit=1_000, wanted=ActFilter(program_id=PROGRAM, only_this=True)
    ).acts
    assert {act.kind for act in of_program} == {"program"}


def test_a_page_ends_where_the_next_one_begins() -> None:
    log = log_of(changed())
    wanted = ActFilter(facility_id="fac-001")
    whole = read_acts(log, before=None, limit=1_000, wanted=wanted)
    assert whole.next_before is None
    paged: list[Act] = []
    before = None
    while True:
        page = read_acts(log, before=before, limit=2, wanted=wanted)
        paged += page.acts
        before = page.next_before
        if before is None:
            break
    assert tuple(paged) == whole.acts
    assert len(paged) > 4


def test_a_facility_is_replayed_as_of_any_position() -> None:
    log = log_of(changed(StartMaintenance(facility_id="fac-001", reason="a new chiller")))
    now = facility_replay(log, "fac-001")
    assert [step.position for step in now.steps] == sorted(
        entry.position
        for entry in log.entries
        if isinstance(entry.domain_event, Facility.Event)
        and entry.domain_event.originator_id == log.entries[-1].domain_event.originator_id
    )
    assert (now.facility.status, now.position) == ("maintenance", log.head())
    before = facility_replay(log, "fac-001", as_of=log.head() - 1)
    assert before.facility.status == "active"
    assert before.steps == now.steps[:-1]
    assert facility_replay(log, "fac-001", as_of=NOW).steps == now.steps


def test_a_replay_holds_neither_coordinates_nor_where_credentials_are() -> None:
    bms = msgspec.structs.replace(facility_entry().bms, credentials_ref="env:GRIDPROOF_SECRET_BMS_HALL")
    scenario = given().after(
        *portfolio_commands(facility_entry(bms=bms, latitude=48.137, longitude=11.575)),
    )
    written = msgspec.json.encode(facility_replay(log_of(scenario), "fac-001")).decode()
    assert "GRIDPROOF_SECRET_BMS_HALL" not in written
    assert "48.137" not in written


def test_a_program_is_replayed_with_every_version() -> None:
    log = log_of(changed(AgreeProgram(entry=program_entry(rate_per_kw="2.5"))))
    now = program_replay(log, PROGRAM)
    assert (now.utility_id, now.program.version) == (UTILITY, 2)
    assert [step.kind for step in now.steps] == ["program"] * 3
    first = program_replay(log, PROGRAM, as_of=now.steps[1].position)
    assert first.program.version == 1


def test_what_is_not_recorded_then_is_refused() -> None:
    log = log_of(changed())
    with pytest.raises(SubjectNotRecorded, match="nobody"):
        facility_replay(log, "nobody")
    with pytest.raises(SubjectNotRecorded):
        program_replay(log, PROGRAM, as_of=0)
    with pytest.raises(PositionAhead):
        program_replay(log, PROGRAM, as_of=log.head() + 1)


def test_every_change_of_a_facility_and_a_program_is_listed_and_described() -> None:
    own = topics_of((Facility.Event, Program.Event)) - {"facility.event", "program.event"}
    of_dr_events = {get_topic(kind) for kind in OF_DR_EVENT}
    assert own - LISTED_TOPICS == of_dr_events
    described = {get_topic(kind) for kind in FACILITY_DESCRIPTIONS}
    assert own - of_dr_events - described == {"program.opened.v1", "program.terms-agreed.v2"}


def test_every_act_has_a_kind() -> None:
    kinds = {kind_of(resolve_topic(topic)) for topic in LISTED_TOPICS}
    assert kinds == set(ACT_KINDS) == set(get_args(ActKind)) == set(KINDS)
    acts: set[type[DomainEvent]] = set(ACT_DESCRIPTIONS)
    assert all(kind_of(kind) in ACT_KINDS for kind in acts)


def test_a_sentence_about_many_fields_is_bounded() -> None:
    fields = [(f"field_{number:03}", int) for number in range(MOST_NAMED + 5)]
    wide = msgspec.defstruct("Wide", fields)
    told = differences(None, wide(**{name: 1 for name, _ in fields}))
    assert told.endswith("and 5 more")
    assert "field_064" not in told
    assert differences(wide(**{name: 1 for name, _ in fields}), wide(**{name: 1 for name, _ in fields})) == ""
