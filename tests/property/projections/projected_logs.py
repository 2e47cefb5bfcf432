"""Valid logs of any shape: walks over the commands that the aggregates allow, drawn by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid5

from hypothesis import strategies as st

from application.ports.event_store.event_log import LogEntry
from domain.dispatch import (
    AdjustmentFigures,
    CommandRecord,
    Dispatch,
    Interval,
    Setpoint,
    ZonePlan,
)
from domain.dr_event import BEFORE_START, Batch, DREvent, FacilityTarget, Notice, Reason
from domain.errors import DomainError
from domain.event_sourcing.aggregate import Aggregate, DomainEvent, Provenance
from domain.facility import BmsLink, Enrolment, Facility, Limits, Reservation, Zone
from domain.program import Program
from tests.fakes.event_store.event_log import FakeEventLog
from tests.measured_figures import figures, measured_day
from tests.property.projections.walked_changes import changes_for, changes_of, opting
from tests.sample_settlement import settlement_figures

EPOCH = datetime(2026, 7, 14, 18, 0, tzinfo=UTC)
IDS = UUID("7f6b1c1e-2b6f-5a52-8f0e-0d6c5b1f1a10")
STORY_ID = uuid5(IDS, "story")
UTILITY = "util-1"
BMS = BmsLink(address="http://127.0.0.1:9/bms", profile="two_phase", credentials_ref="env:NOBODY")
LIMITS = Limits(
    dr_events_per_day=2, dr_events_per_season=40, longest_dr_event_s=14_400, notification_lead_s=0
)
Action = Callable[[], None]


def zone(zone_id: str, curtailable_kw: float) -> Zone:
    return Zone(
        zone_id=zone_id,
        curtailable_kw=curtailable_kw,
        strategy="setpoint_offset",
        max_magnitude=3.0,
        comfort_limit_c=28.0,
        minimum_off_s=0,
        longest_curtailment_s=14_400,
        rebound_ramp_s=300,
    )


class PortfolioWalk:
    """A portfolio driven by drawn numbers: each selects one of the next possible commands."""

    def __init__(self, facilities: int = 3) -> None:
        self.log = FakeEventLog()
        self.now = EPOCH
        self.facilities: dict[str, Facility] = {}
        self.dr_events: list[DREvent] = []
        self.dispatches: dict[UUID, Dispatch] = {}
        self._commands = 0
        for number in range(facilities):
            self.register(f"fac-{number + 1:03}")

    @property
    def entries(self) -> list[LogEntry]:
        return self.log.entries

    def step(self, number: int) -> None:
        """Execute one of the commands that are possible now; a refused command changes nothing."""
        actions = list(self._possible(number // 1000))
        self.now += timedelta(
            seconds=number % 7 - 1
        )  # Clocks of processes differ, so time may step back a little.
        try:
            actions[number % len(actions)]()
        except DomainError:
            self._save()

    # ------------------------------------------------------------------------------------------ commands

    def register(self, facility_id: str) -> None:
        facility = Facility.register(
            self.provenance(actor="operator:key-1", tenant=None),
            facility_id=facility_id,
            tz="America/Los_Angeles",
            # Every second facility has coordinates in the log, the others have them beside it.
            latitude=None if len(self.facilities) % 2 else 37.0,
            longitude=None if len(self.facilities) % 2 else -122.0,
            weather_cell="cell-1",
            region=None if len(self.facilities) % 2 else "US-CA",
        )
        self.facilities[facility_id] = facility
        self._agree(facility, 0)

    def open_dr_event(self, name: str = "") -> DREvent:
        name = name or f"UTIL-{len(self.dr_events) + 1}"
        dr_event = DREvent.open(self.provenance(), utility_id=UTILITY, utility_event_id=name)
        self.dr_events.append(dr_event)
        self._save(dr_event)
        return dr_event

    def accept(self, dr_event: DREvent, number: int = 0) -> None:
        ready = sorted(key for key, facility in self.facilities.items() if facility.state.status == "active")
        provenance = self.provenance()
        named = tuple(ready[: 1 + number % 3]) or ("fac-none",)
        notice = self.notice(named, number)
        dr_event.accept(
            provenance,
            notice=notice,
            program_version=1,
            capacity_kw=100.0,
            capacity_source="forecast",
            shortfall_kw=float(number % 2) * 2.5,
        )
        reserved = []
        for facility_id in named:
            if facility_id in self.facilities:
                facility = self.facilities[facility_id]
                try:
                    facility.reserve(
                        provenance,
                        Reservation(
                            dr_event_id=dr_event.id,
                            starts_at=notice.starts_at,
                            ends_at=notice.ends_at,
                            prepared_from=notice.starts_at,
                        ),
                    )
                except DomainError:
                    continue
                reserved.append(facility)
        self._save(dr_event, *reserved)

    def schedule(self, dr_event: DREvent, number: int = 0) -> None:
        notice = dr_event.state.notice
        assert notice is not None
        known = [facility_id for facility_id in notice.facility_ids if facility_id in self.facilities]
        provenance = self.provenance(actor="saga:dispatch", cause=True)
        targets = tuple(
            FacilityTarget(
                facility_id=facility_id,
                target_kw=10.1,
                headroom_kw=12.0,
                forecast_id=uuid5(IDS, facility_id),
                forecast_position=1,
                data_quality="full",
                blocked=index == number % 5,
            )
            for index, facility_id in enumerate(known)
        )
        dr_event.schedule(
            provenance,
            prepare_at=notice.starts_at - timedelta(minutes=10),
            targets=targets,
            missing_kw=float(number % 3),
        )
        self._save(dr_event, *(self._plan(dr_event, notice, target, provenance) for target in targets))

    def complete(self, dr_event: DREvent) -> None:
        own = self.dispatches_of(dr_event)
        failed = tuple(dispatch.state.facility_id for dispatch in own if dispatch.state.failure)
        batch = Batch(
            asked=len(own),
            prepared=sum(dispatch.state.was_prepared for dispatch in own),
            committed=sum(dispatch.state.was_committed for dispatch in own),
            failed=len(failed),
            restored=sum(dispatch.state.status == "restored" for dispatch in own),
        )
        provenance = self.provenance(actor="saga:dispatch", cause=True)
        dr_event.complete(provenance, batch=batch, failed_facilities=failed)
        self._release(dr_event, provenance, served=True)

    def dispatches_of(self, dr_event: DREvent) -> list[Dispatch]:
        return [item for item in self.dispatches.values() if item.state.dr_event_id == dr_event.id]

    def succeed(self, dispatch: Dispatch, record: CommandRecord) -> None:
        dispatch.command_succeeded(
            self.provenance(actor="worker:dispatch", cause=True),
            command_id=record.command.command_id,
            executed_at=self.now,
            setpoint=Setpoint(value=22.5, unit="celsius"),
            learned_by="answer",
        )
        self._save(dispatch)

    def call(self, dispatch: Dispatch, phase: str) -> None:
        """Request a phase for every zone, and let it succeed."""
        provenance = self.provenance(actor="saga:dispatch", cause=True)
        if phase == "prepare":
            dispatch.prepare(provenance)
        elif phase == "commit":
            dispatch.commit(provenance, not_after=dispatch.state.ends_at)
        else:
            dispatch.restore(provenance)
        self._save(dispatch)
        for record in [item for item in dispatch.state.commands.values() if item.state == "requested"]:
            self._attempt(dispatch, record)
            self.succeed(dispatch, record)
        if phase == "commit":
            self._verify(dispatch, True)
            self._verify_by_meter(dispatch)

    def do(self, command: Callable[..., Any], **facts: Any) -> None:
        """Execute one command of an aggregate, and save it."""
        aggregate: Aggregate[Any] = command.__self__  # type: ignore[attr-defined]  # a bound method
        command(self.provenance(actor="worker:decide", cause=True), **facts)
        self._save(aggregate)

    def happy(self, *, measurable: bool = True) -> DREvent:
        """One DR event from its notification to its measurement, without a failure."""
        dr_event = self.open_dr_event()
        self.accept(dr_event, 2)
        self.schedule(dr_event, 4)
        notice = dr_event.state.notice
        assert notice is not None
        own = self.dispatches_of(dr_event)
        phases: tuple[tuple[str, Callable[..., None], datetime], ...] = (
            ("prepare", dr_event.start_preparation, notice.starts_at - timedelta(minutes=10)),
            ("commit", dr_event.start, notice.starts_at),
            ("restore", dr_event.end, notice.ends_at),
        )
        for phase, begin, at in phases:
            self.now = at
            begin(self.provenance(actor="worker:decide", cause=True), now=at)
            self._save(dr_event)
            for dispatch in own:
                self.call(dispatch, phase)
        self.complete(dr_event)
        if not measurable:
            for dispatch in own:
                dispatch.not_measurable(self.provenance(actor="worker:compute"), reason="too few days")
                self._save(dispatch)
            dr_event.measure(
                self.provenance(actor="saga:dispatch", cause=True),
                delivered_kw=None,
                measured_facilities=0,
                unmeasured_facilities=tuple(dispatch.state.facility_id for dispatch in own),
                unmeasured_reasons={"too few days": len(own)},
            )
            self._save(dr_event)
            return dr_event
        for dispatch in own:
            self._measure(dispatch)
        self._measured(dr_event)
        return dr_event

    # ------------------------------------------------------------------------------------ possible commands

    def _possible(self, number: int) -> Iterator[Action]:
        yield self._program
        if len(self.facilities) < 5 and number % 3 == 0:
            yield partial(self.register, f"fac-{len(self.facilities) + 1:03}")
        if len(self.dr_events) < 4:
            yield self._open
        for facility in self.facilities.values():
            if number % 5 == 0:
                yield partial(self._agree, facility, number // 5)
            if number % 4 == 0:
                yield partial(self._maintain, facility, number)
            if number % 12 == 0:
                yield from opting(self, facility, number // 12)
        for dr_event in self.dr_events:
            yield from self._possible_of(dr_event, number)
        for dispatch in list(self.dispatches.values()):
            yield from self._possible_for(dispatch, number)

    def _possible_of(self, dr_event: DREvent, number: int) -> Iterator[Action]:
        status, notice = dr_event.state.status, dr_event.state.notice
        yield from changes_of(self, dr_event, number)
        if status in {"opened", "rejected"}:
            yield partial(self.accept, dr_event, number)
            yield partial(self.accept, dr_event, number + 1)
            yield partial(self._reject, dr_event)
        if notice is not None:
            yield from (partial(self._tell, dr_event, number) for _ in range(number % 3 == 0))
        if status == "accepted" and notice is not None:
            yield partial(self.schedule, dr_event, number)
            yield partial(self._refuse_planning, dr_event)
            yield partial(self._give_up, dr_event, notice)
        if status in BEFORE_START:
            yield partial(self._cancel, dr_event)
        for _ in range(3):
            if notice is not None and status in {"scheduled", "preparing", "active"}:
                yield partial(self._time_comes, dr_event, notice)
        if status == "recovering" and all(item.state.is_final for item in self.dispatches_of(dr_event)):
            yield partial(self.complete, dr_event)
        if status == "completed":
            yield partial(self._measured, dr_event)
            if dr_event.state.delivered_kw is not None:
                yield partial(self._remeasured, dr_event, number)
            if dr_event.can_be_settled:
                yield partial(self._settle, dr_event, number)

    def _possible_for(self, dispatch: Dispatch, number: int) -> Iterator[Action]:
        state = dispatch.state
        yield from changes_for(self, dispatch, number)
        saga = partial(self.provenance, actor="saga:dispatch", cause=True)
        commands: dict[str, tuple[Callable[[Provenance], None], ...]] = {
            "planned": (dispatch.prepare, partial(dispatch.block, data_quality="degraded", reason="stale")),
            "blocked": (
                partial(dispatch.override_forecast, reason="I know this building"),
                partial(
                    dispatch.unblock,
                    forecast_id=uuid5(IDS, f"{dispatch.id} {number}"),
                    forecast_position=number + 1,
                    data_quality="full",
                    headroom_kw=100.0,
                    reason="its forecast in force is full",
                ),
            ),
            "prepared": (partial(dispatch.commit, not_after=state.ends_at),),
            "committed": (dispatch.restore if number % 2 else partial(dispatch.restore, place=(1, 3)),),
            "verified_by_bms": (dispatch.restore,),
            "verified_by_meter": (dispatch.restore,),
            "failed": (dispatch.compensate,),
            "restore_failed": (
                partial(dispatch.retry_restore, reason="again"),
                partial(dispatch.restored_by_hand, reason="by the caretaker")
                if number % 4 == 0
                else partial(dispatch.retry_restore, reason="once more"),
            ),
        }
        for command in commands.get(state.status, ()):
            yield partial(self._do, dispatch, command, saga)
        if number % 3 == 0:
            yield partial(self._do, dispatch, partial(dispatch.fail_unprepared, reason="too late"), saga)
            yield partial(self._do, dispatch, partial(dispatch.abort, reason="cancelled"), saga)
            yield partial(self._verify, dispatch, number % 2 == 0)
            yield partial(self._verify_by_meter, dispatch)
        for record in list(state.commands.values()):
            if record.state == "requested":
                yield partial(self._attempt, dispatch, record)
                yield partial(self.succeed, dispatch, record)
                yield partial(self.succeed, dispatch, record)
                if number % 3 == 0 or record.command.phase in {"restore", "abort"}:
                    yield partial(self._fail, dispatch, record, number)
            elif record.state == "gave_up":
                often = 4 if record.command.phase in {"restore", "abort"} else 1  # Others are refused.
                yield from (partial(self._reissue, dispatch, record) for _ in range(often))
        if state.was_committed and not state.measured:
            yield partial(self._measure, dispatch)
            yield partial(self._do, dispatch, partial(dispatch.not_measurable, reason="no readings"), saga)
        if state.was_committed and state.measured:
            yield partial(self._remeasure, dispatch, number)
            if state.delivered_kw is not None:
                yield partial(self._withdraw_measurement, dispatch)

    # -------------------------------------------------------------------------------------------- single steps

    def _do(
        self, dispatch: Dispatch, command: Callable[[Provenance], None], provenance: Callable[[], Provenance]
    ) -> None:
        command(provenance())
        self._save(dispatch)

    def _program(self) -> None:
        """A domain event that concerns no read model."""
        program = Program.open(
            self.provenance(tenant=None), program_id=f"program-{self._commands}", utility_id=UTILITY
        )
        self._save(program)

    def _open(self) -> None:
        self.open_dr_event()

    def _agree(self, facility: Facility, number: int) -> None:
        zones = tuple(zone(f"zone-{index}", 10.0 + 0.1 * (number % 7)) for index in range(1 + number % 2))
        facility.agree(
            self.provenance(actor="operator:key-1", tenant=None),
            meters=frozenset({"main", f"sub-{number % 2}"}),
            zones=zones,
            bms=BMS,
            enrolments={
                "summer-peak" if number % 5 else "winter-peak": Enrolment(kw="150.5" if number % 2 else None)
            },
            limits=LIMITS,
            groups=frozenset({"schools"} if number % 3 else {"north", "schools"}),
        )
        facility.agree_location(
            self.provenance(actor="operator:key-1", tenant=None),
            tz="UTC",
            weather_cell="cell-1",
            region=("US-CA", None, "US")[number % 3],
        )
        self._save(facility)

    def _maintain(self, facility: Facility, number: int) -> None:
        provenance = self.provenance(actor="operator:key-1", tenant=None)
        serves = facility.state.not_restored_from or any(
            held.starts_at <= self.now for held in facility.state.reservations.values()
        )
        if facility.state.status == "deactivated":
            facility.reactivate(provenance, reason="sold back")
        elif number % 16 == 12 and not serves:
            facility.deactivate(provenance, reason="sold")
        elif facility.state.status == "maintenance":
            facility.end_maintenance(provenance)
        else:
            facility.start_maintenance(provenance, reason="a new chiller")
        self._save(facility)

    def notice(self, facility_ids: tuple[str, ...], number: int = 0) -> Notice:
        starts_at = self.now + timedelta(minutes=30)
        return Notice(
            notification_id=f"n-{self._commands}",
            modification_number=0,
            program_id="summer-peak",
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=1 + number % 2),
            target_kw=30.0,
            facility_ids=facility_ids,
            priority=1,
            callback_url="https://utility.example/callbacks" if number % 4 == 0 else None,
            callback_address_id=UUID(int=number) if number % 4 == 2 else None,
        )

    def _reject(self, dr_event: DREvent) -> None:
        reasons = (Reason(code="facility_in_maintenance", detail="a new chiller", facility_id="fac-001"),)
        dr_event.reject(self.provenance(), notice=self.notice(("fac-001",), 0), reasons=reasons)
        self._save(dr_event)

    def _refuse_planning(self, dr_event: DREvent) -> None:
        dr_event.refuse_planning(
            self.provenance(actor="saga:dispatch", cause=True),
            reasons=(Reason(code="no_forecast", detail="no readings were received"),),
            retry_at=self.now + timedelta(minutes=5),
        )
        self._save(dr_event)

    def _give_up(self, dr_event: DREvent, notice: Notice) -> None:
        provenance = self.provenance(actor="worker:decide", cause=True)
        dr_event.give_up_planning(provenance, now=notice.starts_at)
        self._release(dr_event, provenance, served=False)

    def _cancel(self, dr_event: DREvent) -> None:
        provenance = self.provenance(actor="operator:key-1")
        dr_event.cancel(provenance, reason="the utility does not need it")
        self._release(dr_event, provenance, served=False)

    def _time_comes(self, dr_event: DREvent, notice: Notice) -> None:
        provenance = self.provenance(actor="worker:decide", cause=True)
        dr_event.start_preparation(provenance, now=notice.starts_at)
        if not dr_event.pending_events:
            dr_event.start(provenance, now=notice.starts_at)
        if not dr_event.pending_events:
            dr_event.end(provenance, now=notice.ends_at)
        self._save(dr_event)

    def _remeasured(self, dr_event: DREvent, number: int) -> None:
        dr_event.remeasure(
            self.provenance(actor="saga:dispatch", cause=True),
            delivered_kw=27.3 - number,
            measured_facilities=3,
            unmeasured_facilities=(),
        )
        self._save(dr_event)

    def _settle(self, dr_event: DREvent, number: int) -> None:
        self.settle(dr_event, inputs_digest=f"{number:064x}")

    def settle(self, dr_event: DREvent, **figures: Any) -> None:
        dr_event.settle(
            self.provenance(actor="worker:compute", cause=True),
            figures=settlement_figures(**({"final_at": None} | figures)),
            why="every facility is measured",
        )
        self._save(dr_event)

    def _measured(self, dr_event: DREvent) -> None:
        dr_event.measure(
            self.provenance(actor="saga:dispatch", cause=True),
            delivered_kw=27.3,
            measured_facilities=2,
            unmeasured_facilities=("fac-009",),
        )
        self._save(dr_event)

    def _tell(self, dr_event: DREvent, number: int) -> None:
        provenance = self.provenance(actor="worker:watch", cause=True)
        open_callbacks = [key for key, state in dr_event.state.callbacks.items() if state == "requested"]
        if not open_callbacks:
            dr_event.request_callback(provenance, kind="started", body="{}")
        elif number % 2 == 0:
            dr_event.callback_delivered(
                provenance, callback_id=UUID(open_callbacks[0]), kind="started", attempts=2, status_code=204
            )
        else:
            dr_event.callback_undeliverable(
                provenance,
                callback_id=UUID(open_callbacks[0]),
                kind="started",
                attempts=9,
                reason="connection refused",
            )
        self._save(dr_event)

    def _plan(
        self, dr_event: DREvent, notice: Notice, target: FacilityTarget, provenance: Provenance
    ) -> Dispatch:
        dispatch = Dispatch.plan(
            provenance,
            dr_event_id=dr_event.id,
            facility_id=target.facility_id,
            plan_revision=dr_event.state.plan_revision,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
            expires_at=notice.ends_at + timedelta(minutes=30),
            target_kw=target.target_kw,
            bms=BMS,
            zones=(
                ZonePlan(zone_id="zone-0", target_kw=6.0, strategy="setpoint_offset", magnitude=1.8),
                ZonePlan(
                    zone_id="zone-1",
                    target_kw=4.1,
                    strategy="setpoint_offset",
                    magnitude=1.2,
                    comfort_limit_c=23.5,
                    rebound_ramp_s=300,
                ),
            ),
            forecast_id=target.forecast_id,
            data_quality=target.data_quality,
        )
        if target.blocked:
            dispatch.block(provenance, data_quality="degraded_stale_data", reason="the newest reading is old")
        self.dispatches[dispatch.id] = dispatch
        return dispatch

    def _release(self, dr_event: DREvent, provenance: Provenance, *, served: bool) -> None:
        for facility in self.facilities.values():
            facility.release(provenance, dr_event_id=dr_event.id, served=served)
        self._save(dr_event, *self.facilities.values())

    def _attempt(self, dispatch: Dispatch, record: CommandRecord) -> None:
        provenance = self.provenance(actor="worker:dispatch", cause=True)
        dispatch.attempt(provenance, command_id=record.command.command_id)
        self._save(dispatch)

    def _fail(self, dispatch: Dispatch, record: CommandRecord, number: int) -> None:
        provenance = self.provenance(actor="worker:dispatch", cause=True)
        command_id = record.command.command_id
        if number % 2:
            dispatch.command_refused(provenance, command_id=command_id, code="busy", reason="manual mode")
        else:
            dispatch.command_gave_up(
                provenance, command_id=command_id, was_sent=number % 4 == 0, reason="no answer"
            )
        self._save(dispatch)

    def _reissue(self, dispatch: Dispatch, record: CommandRecord) -> None:
        provenance = self.provenance(actor="operator:key-1")
        dispatch.reissue(provenance, command_id=record.command.command_id, reason="the BMS is back")
        self._save(dispatch)

    def _verify(self, dispatch: Dispatch, curtailed: bool) -> None:
        states = {key: (Setpoint(value=25.0, unit="celsius"), curtailed) for key in dispatch.state.zones}
        dispatch.verify_by_bms(self.provenance(actor="worker:dispatch", cause=True), states=states)
        self._save(dispatch)

    def _verify_by_meter(self, dispatch: Dispatch) -> None:
        provenance = self.provenance(actor="worker:compute")
        dispatch.verify_by_meter(provenance, delivered_kw=9.7, measured_at=self.now)
        self._save(dispatch)

    def _measure(self, dispatch: Dispatch) -> None:
        interval = Interval(
            starts_at=dispatch.state.starts_at,
            baseline_kw=110.0,
            adjusted_kw=112.0,
            metered_kw=102.5,
            delivered_kw=9.5,
        )
        dispatch.measure(
            self.provenance(actor="worker:compute"),
            figures=figures(
                9.5,
                "0" * 64,
                days=tuple(measured_day(day) for day in ("2026-07-13", "2026-07-10")),
                adjustment=AdjustmentFigures(kind="multiplicative", value=1.02, raw=1.02),
                intervals=(interval,),
            ),
        )
        self._save(dispatch)

    def _remeasure(self, dispatch: Dispatch, number: int) -> None:
        dispatch.remeasure(
            self.provenance(actor="worker:compute"),
            corrected_at=self.now,
            reason="readings were corrected",
            figures=figures(
                9.5 - number,
                f"{number:064d}",
                days=(measured_day("2026-07-13"),),
                coverage_pct=99.0,
            ),
        )
        self._save(dispatch)

    def _withdraw_measurement(self, dispatch: Dispatch) -> None:
        provenance = self.provenance(actor="worker:compute")
        dispatch.withdraw_measurement(provenance, corrected_at=self.now, reason="no readings left")
        self._save(dispatch)

    def provenance(
        self, *, actor: str = f"utility:{UTILITY}", tenant: str | None = UTILITY, cause: bool = False
    ) -> Provenance:
        self._commands += 1
        self.now += timedelta(milliseconds=10)
        entries = self.log.entries
        last: DomainEvent | None = entries[-1].domain_event if entries else None
        return Provenance(
            correlation_id=STORY_ID,
            causation_id=last.domain_event_id if cause and last is not None else _command_id(self._commands),
            actor=actor,
            tenant=tenant,
            trace_id="0af7651916cd43dd8448eb211c80319c",
            recorded_at=self.now,
        )

    def save(self, *aggregates: Aggregate[Any]) -> None:
        self._save(*aggregates)

    def _save(self, *aggregates: Aggregate[Any]) -> None:
        self.log.save(*aggregates, gap=self._commands % 3 // 2)


@cache
def _command_id(number: int) -> UUID:
    return uuid5(IDS, f"command {number}")


def walked(numbers: Sequence[int]) -> PortfolioWalk:
    walk = PortfolioWalk()
    for number in numbers:
        walk.step(number)
    return walk


@cache
def long_life(seed: int) -> Sequence[LogEntry]:
    """The log of 300 steps."""
    numbers = random.Random(seed)
    return tuple(walked([numbers.randrange(10_000_000) for _ in range(300)]).entries)


def logs(steps: int = 120) -> st.SearchStrategy[list[LogEntry]]:
    """Logs of up to `steps` steps."""
    numbers = st.lists(st.integers(0, 10_000_000), min_size=steps // 4, max_size=steps)
    return numbers.map(lambda chosen: walked(chosen).entries)
