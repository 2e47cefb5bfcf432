"""Route of the health of a facility: the state of its BMS, its zones and its open alerts."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from application.forecast.cycle_alerts import NO_WEATHER, UNAVAILABLE
from application.operations.report import BREAKER_ALERT
from application.ports.operations.alerts import Alert
from domain.dispatch import DispatchStatus
from interfaces.web.api.operations.alerts import AlertDocument, alert_document
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.visibility import visible_facility
from interfaces.web.route_policy import FACILITY_READER, RoutePolicy
from projections.dispatch.projection import DispatchRow
from projections.dispatch.projection import key_of as dispatch_key_of
from projections.facility import FacilityRow

BmsState = Literal["no_trouble_known", "suspended", "failing", "drifting"]
_FAILING = {"restore_failing", "command_dead_lettered"}


class ZoneHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A zone in the facility's latest dispatch; `commands` is phase -> state of the newest command."""

    zone_id: str
    target_kw: float
    curtailed: bool
    drifted: bool
    commands: dict[str, str]


class FacilityHealthDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Derived from the open alerts and the latest dispatch."""

    facility_id: str
    bms_profile: str | None
    bms_address: str | None
    bms: BmsState
    """`suspended`: its breaker is open; `failing`: a command failed finally, or a restore does not succeed."""
    dr_event_id: UUID | None
    """Of the latest dispatch; null if there was none."""
    dispatch_status: DispatchStatus | None
    verified_by_bms_at: datetime | None
    verified_by_meter_at: datetime | None
    zones: tuple[ZoneHealth, ...]
    alerts: tuple[AlertDocument, ...]
    """Open ones about the facility or one of its zones, newest first; then those about its weather."""


class FacilityHealthController(Controller):
    path = "/api/facilities/{facility_id:str}/health"
    tags = ("facilities",)

    @get(
        "/",
        summary="State of its BMS, zones and open alerts",
        policy=RoutePolicy(
            roles=FACILITY_READER, one_facility=True, cache="stale", projections=("facilities", "dispatches")
        ),
    )
    async def one(self, request: ApiRequest, web: Web, facility_id: FromPath[str]) -> FacilityHealthDocument:
        row = await visible_facility(request, facility_id)
        return await asyncio.to_thread(_health, web, row)


def _health(web: WebDependencies, row: FacilityRow) -> FacilityHealthDocument:
    alerts = (*web.alerts.open_about(row.facility_id), *_weather_alerts(web, row))
    latest = row.latest_dispatch
    dispatch: DispatchRow | None = None
    if latest is not None:
        dispatch = web.read_models.dispatches.get(dispatch_key_of(latest.dr_event_id, row.facility_id))
    return FacilityHealthDocument(
        facility_id=row.facility_id,
        bms_profile=row.bms_profile,
        bms_address=row.bms_address,
        bms=_bms_state(alerts),
        dr_event_id=None if latest is None else latest.dr_event_id,
        dispatch_status=None if latest is None else latest.status,
        verified_by_bms_at=None if dispatch is None else dispatch.verified_by_bms_at,
        verified_by_meter_at=None if dispatch is None else dispatch.verified_by_meter_at,
        zones=() if dispatch is None else _zones(dispatch),
        alerts=tuple(map(alert_document, alerts)),
    )


def _weather_alerts(web: WebDependencies, row: FacilityRow) -> Iterator[Alert]:
    """Why its weather cell has no weather."""
    for subject in (row.locations.at(web.clock.now()).weather_cell, NO_WEATHER):
        for alert in web.alerts.open_about(subject):
            if (alert.name, alert.subject) == (UNAVAILABLE, subject):
                yield alert


def _bms_state(alerts: tuple[Alert, ...]) -> BmsState:
    names = {alert.name for alert in alerts}
    if BREAKER_ALERT in names:
        return "suspended"
    if names & _FAILING:
        return "failing"
    return "drifting" if "bms_drift" in names else "no_trouble_known"


def _zones(dispatch: DispatchRow) -> tuple[ZoneHealth, ...]:
    return tuple(
        ZoneHealth(
            zone_id=zone.zone_id,
            target_kw=zone.target_kw,
            curtailed=zone.curtailed,
            drifted=zone.drifted,
            commands={phase: command.state for phase, command in zone.commands.items()},
        )
        for _, zone in sorted(dispatch.zones.items())
    )
