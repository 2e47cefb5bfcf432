"""A building with two zones whose BMS answers in any order: nothing stays half committed or curtailed."""

from collections import defaultdict
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.dispatch import CommandRecord, DispatchState, Phase, Setpoint
from domain.errors import DomainError
from tests.sizes import examples
from tests.state_walks import DispatchWalk, dispatch_walk

ZONES = ("hall", "roof")
REFUSABLE = st.sampled_from(
    [
        *("prepare", "commit", "restore", "abort", "compensate", "retry_restore", "fail_unprepared"),
        *("block", "unblock", "override", "attempt", "reissue", "bms_agrees", "bms_drifted", "meter_agrees"),
    ]
)


class TwoZones(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.walk: DispatchWalk = dispatch_walk(ZONES)

    @rule(data=st.data(), outcome=st.sampled_from(["success", "success", "refusal", "gave_up", "never_sent"]))
    def outcome_of_an_open_command(self, data: st.DataObject, outcome: str) -> None:
        opened = [record.command.command_id for record in self._records() if record.state == "requested"]
        if opened:
            self._choose(data.draw(st.sampled_from(opened)))
            self.walk.take(outcome)

    @rule(step=REFUSABLE)
    def any_command(self, step: str) -> None:
        try:
            self.walk.take(step)
        except DomainError:
            return

    @invariant()
    def a_phase_is_reached_by_every_zone_or_not_at_all(self) -> None:
        status = self.state.status
        if status == "prepared":
            assert self._zones_where("prepare", "succeeded") == set(ZONES)
        if status in {"committed", "verified_by_bms", "verified_by_meter"}:
            assert self._zones_where("commit", "succeeded") == set(ZONES)
        if status == "restored":
            assert self._zones_where("restore", "succeeded") == set(ZONES)

    @invariant()
    def no_building_is_left_curtailed_by_a_dispatch_that_is_over(self) -> None:
        if self.state.is_final and self.state.status != "restore_failed":
            maybe = self._zones_where("commit", "succeeded") | self._zones_where("commit", "gave_up")
            assert maybe <= self._zones_where("restore", "succeeded")

    @invariant()
    def a_dispatch_that_is_over_waits_for_no_answer(self) -> None:
        if self.state.is_final:
            assert all(record.state != "requested" for record in self._records())

    @invariant()
    def a_new_round_begins_only_after_a_definite_failure(self) -> None:
        rounds: dict[tuple[str, str], list[CommandRecord]] = defaultdict(list)
        for record in self._records():
            rounds[record.command.zone_id, record.command.phase].append(record)
        for records in rounds.values():
            assert [record.command.round for record in records] == list(range(1, len(records) + 1))
            assert all(record.state == "refused" for record in records[:-1])
        ids = [record.command.command_id for record in self._records()]
        assert len(set(ids)) == len(ids)

    @invariant()
    def a_zone_is_restored_to_its_previous_setpoint(self) -> None:
        for record in self._records():
            restored_to = record.command.restore_to
            if record.command.phase == "restore":
                assert restored_to == self.state.previous[record.command.zone_id]
                assert isinstance(restored_to, Setpoint)
            else:
                assert restored_to is None

    def teardown(self) -> None:
        """The dispatch always becomes final once the BMS answers and the remaining commands are sent."""
        for _ in range(12):
            for record in self._records():
                if record.state == "requested":
                    self._choose(record.command.command_id)
                    self.walk.take("success")
            for step in ("restore", "abort", "fail_unprepared", "compensate", "retry_restore"):
                self.walk.take(step)
        assert self.state.is_final
        assert self.state.status != "restore_failed"

    @property
    def state(self) -> DispatchState:
        return self.walk.aggregate.state

    def _choose(self, command_id: UUID) -> None:
        self.walk.choose = lambda _: command_id

    def _records(self) -> list[CommandRecord]:
        return list(self.state.commands.values())

    def _zones_where(self, phase: Phase, outcome: str) -> set[str]:
        newest = self.state.latest(phase)
        return {zone for zone, record in newest.items() if record.state == outcome}


TestTwoZones = TwoZones.TestCase
TestTwoZones.settings = settings(max_examples=examples(150), stateful_step_count=40)
