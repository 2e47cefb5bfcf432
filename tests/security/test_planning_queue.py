"""The queue of planning: no utility fills it for another, and what cannot be planned yet is not tried for ever (H3)."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from application.command_bus.bus import CommandBus
from application.commands.dr_event import PlanDREvent
from application.handlers import HANDLERS
from domain.dr_event import DREvent
from interfaces.web.authentication.planning_queue import PlanningQueueLimit
from interfaces.workers.decide.deadlines import PLAN_AGAIN_S, next_plans
from projections.deadlines import DeadlineRow
from projections.queries.views import PlanningQueue
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import (
    DR_EVENT_ID,
    NOW,
    PROGRAM,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
    program_entry,
)
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem
from tests.unit.interfaces.web.edge import Edge, accepting, codes_of, notification, problem_of

DAY = timedelta(days=1)
FAR = NOW + 30 * DAY


def system(**edge: Any) -> TenantSystem:
    entries = [facility_entry(f"fac-{utility}-{n}", programs=(program,)) for utility, program, n in _each()]
    programs = (program_entry(), program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER))
    return TenantSystem(entries=entries, programs=programs, **edge)


def _each() -> list[tuple[str, str, int]]:
    return [(u, p, n) for u, p in ((OWN, PROGRAM), (OTHER, OTHER_PROGRAM)) for n in range(3)]


def post(there: TenantSystem, utility: str, number: int) -> int:
    answer = there.post(
        utility,
        event_id=f"E-{number}",
        notification_id=f"e-{number}",
        facility_ids=[f"fac-{utility}-{number}"],
    )
    return answer.status_code


def test_one_utility_does_not_fill_the_queue_of_another() -> None:
    with system(queue_depth=2) as there:
        assert [post(there, OTHER, number) for number in range(3)] == [202, 202, 503]
        assert [post(there, OWN, number) for number in range(3)] == [202, 202, 503]


def test_dr_events_that_wait_for_a_forecast_are_not_due_but_bounded_too() -> None:
    edge = Edge(queue_depth=2)
    edge.commands.answer = accepting
    edge.others["waiting_per_utility"] = 5
    key = edge.key("utility", utility="util-1")
    answers = []
    for waiting in (4, 5):
        models = cast("Any", edge.read_models)
        models.planning_queue = lambda *, tenant, limit, waiting=waiting: PlanningQueue(waiting, 0)
        with edge.client() as client:
            answers.append(client.post("/webhooks/utility/dr-notification", json=notification(), headers=key))
    assert [answer.status_code for answer in answers] == [202, 503]
    assert problem_of(answers[1])["type"] == "/problems/queue-full"


def test_places_taken_at_the_same_moment_count_each_other() -> None:
    counted: list[str] = []

    def queue(*, tenant: str, limit: int) -> PlanningQueue:
        counted.append(tenant)
        return PlanningQueue(waiting=0, due=0)

    places = PlanningQueueLimit(queue, most_due=2, most_waiting=9, monotonic=lambda: 0.0)
    for _ in range(2):
        places.take_place(OWN)
    assert counted == [OWN]
    places.take_place(OWN)
    assert counted == [OWN, OWN], "no place was left by the first count"


def far_ahead() -> Scenario:
    story = given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    return story.after(judge(starts_at=FAR, ends_at=FAR + timedelta(hours=2)))


def test_planning_is_tried_again_when_forecasts_reach_the_window() -> None:
    story = far_ahead()
    plan = PlanDREvent(dr_event_id=DR_EVENT_ID)
    story.when(plan).then(fact(DREvent.PlanningRefused, retry_at=FAR + timedelta(hours=2) - DAY))
    queue = FakeReadModels(story.store.read_after(0, 1_000)).planning_queue(tenant=None, limit=10)
    assert queue == PlanningQueue(waiting=1, due=0)
    story.at(NOW + 10 * DAY).when(plan).then()


def test_a_refusal_to_plan_is_recorded_once_until_its_reasons_change() -> None:
    story = far_ahead()
    plan = PlanDREvent(dr_event_id=DR_EVENT_ID)
    story.after(plan)
    reached = FAR + timedelta(hours=2) - DAY
    for minute in range(5):
        story.at(reached + timedelta(minutes=minute)).when(plan).then()
    story.with_forecasts(forecast("fac-001", at=reached), forecast("fac-002", at=reached))
    outcome = story.at(reached + timedelta(minutes=6)).when(plan)
    assert isinstance(outcome.recorded[0], DREvent.Scheduled)


def test_a_dr_event_too_far_ahead_is_refused_by_name() -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001")))
    story.bus = CommandBus(
        story.store, story.clock, HANDLERS, forecasts=story.forecasts, maximum_lead_s=90 * 86_400.0
    )
    day = NOW + 91 * DAY
    notice = judge(facility_ids=("fac-001",), target_kw=10.0, starts_at=day, ends_at=day + timedelta(hours=1))
    reply = story.when(notice).reply
    assert [reason.code for reason in reply.reasons] == ["too_far_ahead"]
    assert "at most 90" in reply.reasons[0].detail


def row(number: int, tenant: str) -> DeadlineRow:
    return DeadlineRow(
        kind="plan_retry",
        stream_id=UUID(int=number),
        due_at=NOW + timedelta(seconds=number),
        dr_event_id=UUID(int=number),
        facility_id=None,
        starts_at=None,
        ends_at=None,
        caused_by=UUID(int=1),
        correlation_id=UUID(int=1),
        trace_id="0" * 32,
        tenant=tenant,
    )


def test_planning_again_takes_one_dr_event_of_each_utility_at_a_time() -> None:
    due = [*(row(number, "util-1") for number in range(1, 200)), row(500, "util-2")]
    tried: dict[UUID, datetime] = {}
    rounds = []
    for number in range(3):
        now = datetime(2026, 7, 14, 12, 0, number, tzinfo=UTC)
        chosen = next_plans(due, tried, now)
        tried |= {one.dr_event_id: now for one in chosen}
        rounds.append([(one.tenant, one.dr_event_id.int) for one in chosen])
    assert rounds == [[("util-1", 1), ("util-2", 500)], [("util-1", 2)], [("util-1", 3)]]
    later = NOW + timedelta(seconds=PLAN_AGAIN_S + 5)
    assert ("util-2", 500) in [(one.tenant, one.dr_event_id.int) for one in next_plans(due, tried, later)]


def test_due_deadlines_of_one_utility_take_no_place_of_those_of_another() -> None:
    models = FakeReadModels()
    rows = models.rows["deadlines"]
    for one in [*(row(number, "util-1") for number in range(1, 700)), row(900, "util-2")]:
        rows.put(one)
    due = models.deadlines.due(NOW + DAY, limit=500)
    assert len(due) == 500
    assert [one.tenant for one in due[:2]] == ["util-1", "util-2"]


def test_the_answer_to_a_refusal_names_its_code() -> None:
    with system() as there:
        far = (NOW + 4_000 * DAY).isoformat()
        there.scenario.bus = CommandBus(
            there.scenario.store,
            there.clock,
            HANDLERS,
            forecasts=there.scenario.forecasts,
            maximum_lead_s=366 * 86_400.0,
        )
        refused = there.post(
            OWN,
            facility_ids=[f"fac-{OWN}-0"],
            starts_at=far,
            ends_at=(NOW + 4_000 * DAY + timedelta(hours=1)).isoformat(),
        )
    assert codes_of(problem_of(refused)) == ["too_far_ahead"]
