"""A simulated building under any sequence of commands and time, compared with an independent model."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from application.facility.portfolio_entries import ZoneEntry
from application.ports.dispatch.building_control import Phase, Setpoint, ZoneCommand
from interfaces.simulators.bms.building import Building, Refusal
from interfaces.simulators.bms.journal import JournalEntry, curtailed_zones, duplicate_actions
from tests.sizes import examples

START = datetime(2026, 7, 14, 12, tzinfo=UTC)
NORMAL = Setpoint(value=22.0, unit="celsius")
ZONES = ("a", "b")
DR_EVENTS = (UUID(int=1), UUID(int=2))
PHASES: tuple[Phase, ...] = ("prepare", "commit", "abort", "restore")


class BuildingMachine(RuleBasedStateMachine):
    """The model of a zone: free, or (holder, curtailed, expiry)."""

    @initialize(deduplicates=st.booleans())
    def build(self, deduplicates: bool) -> None:
        self.journal: list[JournalEntry] = []
        self.deduplicates = deduplicates
        self.now = START
        self.held: dict[str, tuple[UUID, bool, datetime]] = {}
        self.sent: list[ZoneCommand] = []
        self.executed: set[UUID] = set()
        self.executions = 0
        self.building = Building(
            "fac-001",
            [ZoneEntry(zone_id=zone, curtailable_kw=60.0, rebound_ramp_s=0) for zone in ZONES],
            record=self.journal.append,
            profile="two_phase" if deduplicates else "two_phase_no_dedup",
        )

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.held = {zone: hold for zone, hold in self.held.items() if hold[2] > self.now}

    @rule(
        zone=st.sampled_from(ZONES),
        dr_event=st.sampled_from(DR_EVENTS),
        phase=st.sampled_from(PHASES),
        round_=st.integers(0, 2),
    )
    def a_command_comes(self, zone: str, dr_event: UUID, phase: Phase, round_: int) -> None:
        command = ZoneCommand(
            command_id=uuid5(dr_event, f"{zone}/{phase}/{round_}"),
            dr_event_id=dr_event,
            facility_id="fac-001",
            zone_id=zone,
            phase=phase,
            plan_revision=0,
            round=round_,
            strategy="setpoint_offset",
            magnitude=3.0 if phase in ("prepare", "commit") else 0.0,
            restore_to=NORMAL if phase == "restore" else None,
            expires_at=self.now + timedelta(minutes=60),
        )
        self.sent.append(command)
        self.deliver(command)

    @rule(choice=st.integers(0, 10_000))
    def an_earlier_command_comes_again(self, choice: int) -> None:
        if self.sent:
            self.deliver(self.sent[choice % len(self.sent)])

    def deliver(self, command: ZoneCommand) -> None:
        if self.deduplicates and command.command_id in self.executed:
            assert self.building.execute(command, self.now).repeated
            return
        if self.allowed(command):
            receipt = self.building.execute(command, self.now)
            assert not receipt.repeated
            self.follow(command)
        else:
            with pytest.raises(Refusal):
                self.building.execute(command, self.now)

    def allowed(self, command: ZoneCommand) -> bool:
        hold = self.held.get(command.zone_id)
        if hold is not None and hold[0] != command.dr_event_id:
            return False
        in_time = command.expires_at > self.now
        return {
            "prepare": in_time,
            "commit": in_time and hold is not None,
            "abort": hold is None or not hold[1],
            "restore": True,
        }[command.phase]

    def follow(self, command: ZoneCommand) -> None:
        self.executions += 1
        self.executed.add(command.command_id)
        was_curtailed = command.zone_id in self.held and self.held[command.zone_id][1]
        if command.phase in ("prepare", "commit"):
            curtailed = was_curtailed or command.phase == "commit"
            self.held[command.zone_id] = (command.dr_event_id, curtailed, command.expires_at)
        else:
            self.held.pop(command.zone_id, None)

    @invariant()
    def zones_are_as_the_model_says(self) -> None:
        for zone in ZONES:
            state = self.building.zone_state(zone, self.now)
            hold = self.held.get(zone)
            assert state.curtailed == (hold is not None and hold[1])
            assert (state.active_command_id is None) == (hold is None)
            assert state.setpoint.value == (25.0 if state.curtailed else 22.0)

    @invariant()
    def the_load_falls_by_the_curtailed_zones_only(self) -> None:
        curtailed = sum(1 for hold in self.held.values() if hold[1])
        assert self.building.shed_kw(self.now) == pytest.approx(60.0 * curtailed)

    @invariant()
    def the_journal_matches_the_state(self) -> None:
        self.building.advance(self.now)
        commanded = [entry for entry in self.journal if entry.action in PHASES]
        assert len(commanded) == self.executions
        expected = {("fac-001", zone) for zone, hold in self.held.items() if hold[1]}
        assert curtailed_zones(self.journal, self.now) == expected
        if self.deduplicates:
            assert duplicate_actions(self.journal) == {}
        assert sum(entry.shed_change_kw for entry in self.journal) == pytest.approx(60.0 * len(expected))


TestBuildingMachine = BuildingMachine.TestCase
TestBuildingMachine.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
