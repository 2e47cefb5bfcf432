"""A changed plan drops a zone of a prepared dispatch: the zone is aborted, the others stay prepared."""

from datetime import timedelta

import pytest

from domain.dispatch import DispatchStatus, Phase
from domain.dispatch.amendment import MIN_PREPARE_TIME, dropped_zones
from tests.sample_values import ENDS_AT, NOW, STARTS_AT
from tests.state_walks import DispatchWalk, dispatch_walk

ZONES = ("hall", "roof")
HOUR = timedelta(hours=1)


def report(walk: DispatchWalk, zone_id: str, phase: Phase, step: str) -> None:
    """Report an outcome of the newest command of that phase to that zone."""
    command_id = walk.aggregate.state.latest(phase)[zone_id].command.command_id
    walk.choose = lambda _: command_id
    walk.take(step)
    del walk.choose


def succeed(walk: DispatchWalk) -> None:
    """The BMS executes every open command."""
    for record in list(walk.aggregate.state.commands.values()):
        if record.state == "requested":
            report(walk, record.command.zone_id, record.command.phase, "success")


def prepared() -> DispatchWalk:
    walk = dispatch_walk(ZONES)
    walk.take("prepare")
    succeed(walk)
    return walk


def status(walk: DispatchWalk) -> DispatchStatus:
    return walk.aggregate.state.status


def amend(walk: DispatchWalk, *zones: str, revision: int = 2, hold: bool = True, later: bool = False) -> None:
    known = dispatch_walk(ZONES).aggregate.state.zones
    moved = HOUR if later else timedelta()
    walk.aggregate.amend(
        walk.provenance,
        plan_revision=revision,
        starts_at=STARTS_AT + moved,
        ends_at=ENDS_AT + moved,
        expires_at=walk.aggregate.state.expires_at + moved,
        target_kw=75.0,
        zones=tuple(known[zone] for zone in zones),
        forecast_id=None,
        data_quality="full",
        hold=hold,
    )


def opened(walk: DispatchWalk) -> list[tuple[str, str]]:
    """(phase, zone) of every open command."""
    records = walk.aggregate.state.commands.values()
    return [(r.command.phase, r.command.zone_id) for r in records if r.state == "requested"]


def aborts(walk: DispatchWalk) -> list[str]:
    records = walk.aggregate.state.commands.values()
    return [r.command.zone_id for r in records if r.command.phase == "abort"]


def test_a_dropped_zone_is_aborted_and_the_others_stay_prepared() -> None:
    walk = prepared()
    amend(walk, "hall")
    assert opened(walk) == [("abort", "roof")]
    assert status(walk) == "prepared"
    [abort] = walk.aggregate.state.latest("abort").values()
    assert (abort.command.plan_revision, abort.command.magnitude) == (2, 0.0)
    assert abort.command.not_after == max(STARTS_AT, NOW + MIN_PREPARE_TIME)
    succeed(walk)
    assert (status(walk), dropped_zones(walk.aggregate.state)) == ("prepared", [])


@pytest.mark.parametrize("outcome", ["success", "refusal", "gave_up", "never_sent"])
def test_a_commit_waits_for_any_outcome_of_the_abort(outcome: str) -> None:
    walk = prepared()
    amend(walk, "hall")
    walk.take("commit")
    report(walk, "hall", "commit", "success")
    assert status(walk) == "committing"
    report(walk, "roof", "abort", outcome)
    assert status(walk) == "committed"
    assert set(walk.aggregate.state.curtailed_at) == {"hall"}


def test_a_zone_with_an_open_prepare_is_aborted_after_its_outcome() -> None:
    walk = dispatch_walk(ZONES)
    walk.take("prepare")
    amend(walk, "hall")
    assert aborts(walk) == []
    succeed(walk)
    assert (status(walk), aborts(walk)) == ("prepared", ["roof"])


def test_a_dropped_zone_that_could_not_be_prepared_is_not_aborted_and_does_not_fail_the_dispatch() -> None:
    walk = dispatch_walk(ZONES)
    walk.take("prepare")
    amend(walk, "hall")
    report(walk, "roof", "prepare", "refusal")
    succeed(walk)
    assert (status(walk), aborts(walk)) == ("prepared", [])


def test_a_zone_that_returns_to_the_plan_is_prepared_again() -> None:
    walk = prepared()
    amend(walk, "hall")
    succeed(walk)
    amend(walk, *ZONES, revision=3)
    assert walk.aggregate.state.prepare_again
    walk.take("prepare")
    assert opened(walk) == [("prepare", "hall"), ("prepare", "roof")]
    succeed(walk)
    walk.take("commit")
    succeed(walk)
    assert (status(walk), aborts(walk)) == ("committed", ["roof"])


def test_a_release_of_the_preparation_includes_the_dropped_zone() -> None:
    walk = prepared()
    amend(walk, "hall", hold=False, later=True)
    assert (status(walk), aborts(walk)) == ("aborting", ["hall", "roof"])
    succeed(walk)
    assert status(walk) == "planned"


def test_a_facility_that_leaves_during_the_abort_aborts_each_zone_once() -> None:
    walk = prepared()
    amend(walk, "hall")
    walk.take("leave")
    assert sorted(aborts(walk)) == ["hall", "roof"]
    succeed(walk)
    assert status(walk) == "aborted"


def test_a_failed_abort_can_be_replayed_after_the_end() -> None:
    walk = prepared()
    amend(walk, "hall")
    report(walk, "roof", "abort", "gave_up")
    walk.take("abort")
    report(walk, "hall", "abort", "success")
    assert status(walk) == "aborted"
    report(walk, "roof", "abort", "reissue")
    report(walk, "roof", "abort", "success")
    assert status(walk) == "aborted"


@pytest.mark.parametrize("zones", [("hall",), ZONES])
def test_nothing_is_aborted_if_the_zones_are_unchanged(zones: tuple[str, ...]) -> None:
    walk = dispatch_walk(zones)
    walk.take("prepare")
    succeed(walk)
    amend(walk, *zones)
    assert aborts(walk) == []
