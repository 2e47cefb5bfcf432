"""An abort that the BMS refuses because the zone is curtailed; detected by fault storm seeds 16 and 336."""

from domain.dispatch import Dispatch
from tests.state_walks import DispatchWalk, dispatch_walk


def failed_at_its_commit() -> DispatchWalk:
    """The BMS executed the commit but reported a failure."""
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "refusal", "compensate"):
        getattr(walk, step)()
    assert walk.aggregate.state.status == "compensating"
    return walk


def refuse(walk: DispatchWalk, code: str) -> list[type]:
    before = len(walk.aggregate.pending_events)
    walk.aggregate.command_refused(walk.provenance, command_id=walk.chosen, code=code, reason="simulated")
    return [type(domain_event) for domain_event in walk.aggregate.pending_events[before:]]


def test_a_zone_that_turns_out_to_be_curtailed_is_restored() -> None:
    walk = failed_at_its_commit()
    assert refuse(walk, "curtailed") == [Dispatch.BmsCommandRefused, Dispatch.BmsCommandRequested]
    assert not walk.aggregate.state.is_final
    walk.success()
    assert walk.aggregate.state.status == "compensated"


def test_a_commit_refused_after_a_lost_answer_is_undone_by_a_restore() -> None:
    """Detected by fault storm seed 119354: the BMS executed it, reported a failure, and refused the repeat."""
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "attempt", "attempt", "refusal", "compensate"):
        getattr(walk, step)()
    state = walk.aggregate.state
    assert state.may_have_curtailed
    phases = [record.command.phase for record in state.commands.values() if record.state == "requested"]
    assert phases == ["restore"]
    walk.success()
    assert walk.aggregate.state.status == "compensated"


def test_an_abort_refused_for_another_reason_is_not_repeated() -> None:
    """The hold of a prepare expires by itself."""
    walk = failed_at_its_commit()
    assert refuse(walk, "local_override") == [Dispatch.BmsCommandRefused, Dispatch.Compensated]
