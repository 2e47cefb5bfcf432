"""A small world for tests of the write side: a utility, its program, two facilities, a notice, forecasts.

The window is 21:00 to 23:00 UTC of 14 July 2026; NOW is noon.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from adapters.postgres.event_store.snapshot_reader import Snapshots
from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import JudgeNotification
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.event_store.snapshot_mac import SnapshotMac
from application.facility.bms_networks import BmsNetworks
from application.facility.portfolio_entries import (
    BmsEntry,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
    ZoneEntry,
)
from application.facility.program_contract import terms_of_entry
from application.ports.dispatch.requested_work import BmsWork, CallbackWork
from domain.administration import AdministrativeAct
from domain.dr_event import DREvent, FacilityTarget, Notice
from domain.event_sourcing.aggregate import Provenance
from domain.facility import BmsLink
from domain.forecast import CYCLE, Forecast, ForecastInputs, ForecastModel, QuantileSteps
from domain.identifiers import dr_event_id
from domain.program import Terms

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
STARTS_AT = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
ENDS_AT = datetime(2026, 7, 14, 23, 0, tzinfo=UTC)
UTILITY, UTILITY_EVENT, PROGRAM = "util-1", "UTIL-2026-0042", "summer-peak"
DR_EVENT_ID = dr_event_id(UTILITY, UTILITY_EVENT)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BMS = BmsLink(address="http://127.0.0.1:1/bms", profile="two_phase")
THIS_MACHINE = BmsNetworks.of("127.0.0.0/8")
"""For BMSs that a test serves itself."""
CONTEXT = CommandContext(
    correlation_id=UUID(int=0xC0),
    causation_id=UUID(int=0xCA),
    actor="utility:util-1",
    tenant=UTILITY,
    trace_id=TRACE,
)
COMMAND_WORK = BmsWork(
    task="command",
    dr_event_id=DR_EVENT_ID,
    facility_id="fac-001",
    command_id=UUID(int=2),
    correlation_id=CONTEXT.correlation_id,
    causation_id=CONTEXT.causation_id,
    tenant=UTILITY,
    trace_id=TRACE,
)
CALLBACK_WORK = CallbackWork(
    dr_event_id=DR_EVENT_ID,
    callback_id=UUID(int=5),
    kind="accepted",
    utility_id=UTILITY,
    url="https://utility.example/callbacks",
    body="{}",
    correlation_id=CONTEXT.correlation_id,
    causation_id=CONTEXT.causation_id,
    trace_id=TRACE,
)


def provenance(at: datetime = NOW) -> Provenance:
    return Provenance(
        correlation_id=CONTEXT.correlation_id,
        causation_id=CONTEXT.causation_id,
        actor=CONTEXT.actor,
        tenant=CONTEXT.tenant,
        trace_id=CONTEXT.trace_id,
        recorded_at=at,
    )


def portfolio_act() -> AdministrativeAct:
    """The beginning of an import, another one with each call."""
    return AdministrativeAct.begin_portfolio_import(
        msgspec.structs.replace(provenance(), causation_id=uuid4()),
        file_sha256=None,
        utilities=(),
        programs_changed=0,
        facilities_changed=0,
    )


def trusted_snapshots() -> Snapshots:
    """Snapshots with a key of the tests. One that this key did not make fails the test."""

    def forged(detail: str) -> None:
        raise AssertionError(detail)

    return Snapshots(SnapshotMac(b"k" * 32), forged)


def program_entry(**changes: Any) -> ProgramEntry:
    values: dict[str, Any] = {"program_id": PROGRAM, "utility_id": UTILITY, "prepare_lead_s": 600}
    return ProgramEntry(**(values | changes))


def program_terms(**changes: Any) -> Terms:
    """The terms of `program_entry`."""
    return terms_of_entry(program_entry(**changes))


def facility_entry(facility_id: str = "fac-001", **changes: Any) -> FacilityEntry:
    """A facility of 100 kW in one zone, or in the given `zones`."""
    values: dict[str, Any] = {
        "facility_id": facility_id,
        "tz": "America/New_York",
        "meters": (MeterEntry(meter_id="main"),),
        "zones": (zone_entry("hall"),),
        "bms": BmsEntry(address=f"http://127.0.0.1:1/buildings/{facility_id}/bms"),
        "programs": (PROGRAM,),
        "dr_events_per_day": 5,
    }
    return FacilityEntry(**(values | changes))


def zone_entry(zone_id: str, curtailable_kw: float = 100.0, **changes: Any) -> ZoneEntry:
    """A zone that is restored at once, unless `rebound_ramp_s` says otherwise."""
    values: dict[str, Any] = {"zone_id": zone_id, "curtailable_kw": curtailable_kw, "rebound_ramp_s": 0}
    return ZoneEntry(**(values | changes))


def portfolio_commands(*entries: FacilityEntry, **terms: Any) -> list[msgspec.Struct]:
    """Commands that create the program, with those terms, and register the facilities."""
    return [
        AgreeProgram(entry=program_entry(**terms)),
        *(RegisterFacility(entry=entry) for entry in entries),
    ]


def notice(**changes: Any) -> Notice:
    values: dict[str, Any] = {
        "notification_id": "n-1",
        "modification_number": 0,
        "program_id": PROGRAM,
        "starts_at": STARTS_AT,
        "ends_at": ENDS_AT,
        "target_kw": 150.0,
        "facility_ids": ("fac-001", "fac-002"),
        "priority": 1,
        "callback_url": "https://utility.example/callbacks",
    }
    return Notice(**(values | changes))


def judge(utility_event_id: str = UTILITY_EVENT, **changes: Any) -> JudgeNotification:
    """The notification as a command; `changes` are of the notice."""
    return JudgeNotification(utility_id=UTILITY, utility_event_id=utility_event_id, notice=notice(**changes))


def requested_callback(
    utility_id: str = UTILITY, at: datetime = NOW
) -> tuple[DREvent, DREvent.CallbackRequested]:
    """A new DR event of that utility, not saved yet, and the callback that it asks for."""
    of_it = msgspec.structs.replace(provenance(at), tenant=utility_id)
    dr_event = DREvent.open(of_it, utility_id=utility_id, utility_event_id=uuid4().hex)
    dr_event.accept(
        of_it,
        notice=notice(),
        program_version=1,
        capacity_kw=100,
        capacity_source="declared",
        shortfall_kw=0,
    )
    dr_event.request_callback(of_it, kind="accepted", body="{}")
    intent = dr_event.pending_events[-1]
    assert isinstance(intent, DREvent.CallbackRequested)
    return dr_event, intent


def target(facility_id: str = "fac-001", *, blocked: bool = False) -> FacilityTarget:
    return FacilityTarget(
        facility_id=facility_id,
        target_kw=75.0,
        headroom_kw=100.0,
        forecast_id=UUID(int=7),
        forecast_position=1,
        data_quality="full",
        blocked=blocked,
    )


def forecast(
    facility_id: str = "fac-001", kw: float = 400.0, *, at: datetime = NOW, degraded: bool = False
) -> Forecast:
    """A flat load over 36 hours, from the cycle that begins at `at`."""
    steps = 4 * 36
    return Forecast.issue(
        provenance(at),
        facility_id=facility_id,
        cycle_start=at,
        inputs=ForecastInputs(
            input_hash=f"{facility_id}-{kw}-{degraded}",
            newest_reading_at=at - timedelta(minutes=1),
            sensor_coverage_pct=100.0,
            weather_available=not degraded,
            weather_age_s=None if degraded else 60.0,
        ),
        model=ForecastModel(name="mean", version="1", trained_at=at),
        steps=QuantileSteps(
            starts_at=at,
            step_s=int(CYCLE.total_seconds()),
            p10_kw=(kw * 0.9,) * steps,
            p50_kw=(kw,) * steps,
            p90_kw=(kw * 1.1,) * steps,
        ),
    )
