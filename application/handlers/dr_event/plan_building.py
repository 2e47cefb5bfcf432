"""Building blocks of a plan: each facility's offer, its share, and its dispatch."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from application.command_bus.decision_context import DecisionContext
from application.dispatch.time_limits import TIME_LIMITS
from application.handlers.dr_event.facility_facts import lowest_load_kw
from application.ports.forecast.forecast_book import IssuedForecast
from domain.allocation.allocate import FacilityOffer, FacilityShare
from domain.allocation.zone_offers import fitting_zones, zone_offer
from domain.dispatch import Dispatch, DispatchState, ZonePlan
from domain.dispatch.amendment import is_curtailing
from domain.dr_event import DREvent, FacilityTarget, Notice
from domain.facility import Facility, Zone
from domain.forecast import quality_at
from domain.program import Terms

COMMAND_EXPIRY = timedelta(seconds=TIME_LIMITS.expiry_after_end_s)
"""A BMS that receives no command for this long after the end restores itself."""
MIN_SHARE_KW = 1e-3
"""Smaller shares, and smaller changes of a share, are not worth a command."""


class ShareBasis(msgspec.Struct, frozen=True, kw_only=True):
    """The basis of a facility's share: a forecast, or the record of an earlier plan."""

    headroom_kw: float
    forecast_id: UUID | None
    forecast_position: int | None
    data_quality: str


def preparation_start(notice: Notice, terms: Terms, now: datetime) -> datetime:
    """When its buildings are prepared: with the start for a program without two phases (ADR 0073)."""
    lead_s = terms.prepare_lead_s if terms.two_phase else 0
    return max(now, notice.starts_at - timedelta(seconds=lead_s))


def basis_of_forecast(
    forecast: IssuedForecast | None, starts_at: datetime, ends_at: datetime, *, now: datetime
) -> ShareBasis | None:
    """The basis by a forecast; None where no forecast covers the time."""
    load_kw = lowest_load_kw(forecast, starts_at, ends_at)
    if forecast is None or load_kw is None:
        return None
    return ShareBasis(
        headroom_kw=load_kw,
        forecast_id=forecast.forecast_id,
        forecast_position=forecast.position,
        data_quality=quality_at(forecast.data_quality, forecast.cycle_start, now),
    )


def basis_of_plan(target: FacilityTarget) -> ShareBasis:
    """The recorded headroom: a reallocation never exceeds it."""
    return ShareBasis(
        headroom_kw=target.headroom_kw,
        forecast_id=target.forecast_id,
        forecast_position=target.forecast_position,
        data_quality=target.data_quality,
    )


def usable_zones(
    facility: Facility, notice: Notice, dispatch: DispatchState | None, *, now: datetime
) -> list[Zone]:
    """The zones that fit the rest of the window. Of a curtailed building, the curtailed zones, counted from
    its start."""
    fixed = dispatch if dispatch is not None and is_curtailing(dispatch) else None
    begins_at = max(notice.starts_at, now) if fixed is None else fixed.starts_at
    duration_s = (notice.ends_at - begins_at).total_seconds()
    zones = fitting_zones(facility.state.zones.values(), duration_s)
    return zones if fixed is None else [zone for zone in zones if zone.zone_id in fixed.zones]


def offer_of(
    facility: Facility,
    zones: list[Zone],
    basis: ShareBasis,
    dispatch: DispatchState | None,
    *,
    blocked: bool = False,
) -> FacilityOffer:
    """`blocked`: by its forecast; a dispatch that exists says so itself."""
    if dispatch is not None:
        blocked = dispatch.status == "blocked"
    return FacilityOffer(
        facility_id=facility.state.facility_id,
        zones=tuple(zone_offer(zone, dispatch) for zone in zones),
        forecast_kw=basis.headroom_kw,
        blocked=blocked,
    )


class OfferInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The offer of a facility by its newest forecast, and the quality of that as of now."""

    offer: FacilityOffer
    forecast: IssuedForecast
    data_quality: str


def offer_in_force(
    dr_event: DREvent, facility: Facility, dispatch: DispatchState, context: DecisionContext
) -> OfferInForce | None:
    """The offer of a facility that has a dispatch; None where its newest forecast does not cover the window."""
    facility_id = facility.state.facility_id
    notice = dr_event.state.judged_notice
    forecast = context.forecasts.newest_of((facility_id,), at=context.now).get(facility_id)
    begins_at = max(dispatch.starts_at, context.now)
    basis = basis_of_forecast(forecast, begins_at, notice.ends_at, now=context.now)
    if forecast is None or basis is None:
        return None
    zones = usable_zones(facility, notice, dispatch, now=context.now)
    offer = offer_of(facility, zones, basis, dispatch)
    return OfferInForce(offer=offer, forecast=forecast, data_quality=basis.data_quality)


def target_of(share: FacilityShare, basis: ShareBasis) -> FacilityTarget:
    return FacilityTarget(
        facility_id=share.facility_id,
        target_kw=share.target_kw,
        headroom_kw=share.headroom_kw,
        forecast_id=basis.forecast_id,
        forecast_position=basis.forecast_position,
        data_quality=basis.data_quality,
        blocked=share.blocked,
    )


def zone_plans(facility: Facility, share: FacilityShare) -> tuple[ZonePlan, ...]:
    known = facility.state.zones
    return tuple(
        ZonePlan(
            zone_id=zone.zone_id,
            target_kw=zone.target_kw,
            strategy=known[zone.zone_id].strategy,
            magnitude=zone.magnitude,
            comfort_limit_c=known[zone.zone_id].comfort_limit_c,
            lower_comfort_limit_c=known[zone.zone_id].lower_comfort_limit_c,
            minimum_off_s=known[zone.zone_id].minimum_off_s,
            rebound_ramp_s=known[zone.zone_id].rebound_ramp_s,
        )
        for zone in share.zones
    )


def new_dispatch(
    dr_event: DREvent,
    facility: Facility,
    share: FacilityShare,
    basis: ShareBasis,
    context: DecisionContext,
    *,
    starts_at: datetime,
) -> Dispatch:
    """A planned dispatch; blocked where its forecast is degraded and the program blocks such forecasts."""
    notice, bms = dr_event.state.judged_notice, facility.state.bms
    if bms is None:
        raise LookupError(f"{share.facility_id} has zones but no BMS; import its portfolio entry again")
    dispatch = Dispatch.plan(
        context.provenance,
        dr_event_id=dr_event.id,
        facility_id=share.facility_id,
        plan_revision=dr_event.state.plan_revision,
        starts_at=starts_at,
        ends_at=notice.ends_at,
        expires_at=notice.ends_at + COMMAND_EXPIRY,
        target_kw=share.target_kw,
        bms=bms,
        zones=zone_plans(facility, share),
        forecast_id=basis.forecast_id,
        data_quality=basis.data_quality,
    )
    if share.blocked:
        block(dispatch, basis.data_quality, context)
    return dispatch


def block(dispatch: Dispatch, data_quality: str, context: DecisionContext) -> None:
    dispatch.block(
        context.provenance,
        data_quality=data_quality,
        reason=f"its forecast is {data_quality}; a better one unblocks it, or an override with a reason",
    )
