"""Making the plan: the target is allocated over the facilities by what their forecasts leave room for."""

from datetime import datetime, timedelta

from application.commands.dr_event import PlanDREvent
from application.deciding import Deciding, Decision
from application.facility_facts import lowest_load_kw
from application.ports.forecast_book import IssuedForecast
from domain.allocation import FacilityOffer, FacilityShare, ZoneOffer, allocate
from domain.dispatch import Dispatch, ZonePlan
from domain.dr_event import DREvent, FacilityTarget, Notice, Reason
from domain.facility import Facility
from domain.forecast import quality_at
from domain.program import Terms

RETRY = timedelta(seconds=60)
"""How long after a refused plan it is tried again."""
COMMAND_EXPIRY = timedelta(minutes=30)
"""A BMS that hears nothing this long after the end restores itself."""
LEAST_SHARE_KW = 1e-3
"""A smaller share is not worth a command."""


def plan_dr_event(command: PlanDREvent, deciding: Deciding) -> Decision:
    """Schedule the DR event with its dispatches, or refuse the plan when there is nothing to plan on."""
    dr_event = deciding.dr_event(command.dr_event_id)
    notice = dr_event.state.notice
    retry_at = dr_event.state.plan_retry_at
    if dr_event.state.status != "accepted" or notice is None or (retry_at and deciding.now < retry_at):
        return Decision()
    terms = _terms(dr_event, notice, deciding)
    facilities = [found for i in notice.facility_ids if (found := deciding.facility(i)) is not None]
    forecasts = deciding.forecasts.newest_of(notice.facility_ids, at=deciding.now)
    reasons = _unplannable(notice, facilities, forecasts)
    if len(reasons) == len(notice.facility_ids):
        dr_event.refuse_planning(deciding.provenance, reasons=reasons, retry_at=deciding.now + RETRY)
        return Decision(dr_event)
    offers = [
        _offer(facility, forecasts[facility.state.facility_id], notice, terms, deciding.now)
        for facility in facilities
        if facility.state.facility_id not in {reason.facility_id for reason in reasons}
    ]
    allocation = allocate(notice.target_kw, offers)
    shares = [share for share in allocation.shares if share.target_kw >= LEAST_SHARE_KW]
    dr_event.schedule(
        deciding.provenance,
        prepare_at=max(deciding.now, notice.starts_at - timedelta(seconds=terms.prepare_lead_s)),
        targets=tuple(_target(share, forecasts[share.facility_id], deciding.now) for share in shares),
        missing_kw=allocation.missing_kw,
    )
    by_id = {facility.state.facility_id: facility for facility in facilities}
    dispatches = [
        _dispatch(dr_event, by_id[share.facility_id], share, forecasts[share.facility_id], deciding)
        for share in shares
    ]
    return Decision(dr_event, *dispatches)


def _terms(dr_event: DREvent, notice: Notice, deciding: Deciding) -> Terms:
    """The version of the program that the DR event was accepted under."""
    program = deciding.program(notice.program_id)
    terms = None if program is None else program.state.versions.get(dr_event.state.program_version)
    if terms is None:
        raise LookupError(f"program {notice.program_id} of an accepted DR event is not in the log")
    return terms


def _unplannable(
    notice: Notice, facilities: list[Facility], forecasts: dict[str, IssuedForecast]
) -> tuple[Reason, ...]:
    """Facilities without any forecast over the window: nothing is guessed for them."""
    known = {facility.state.facility_id for facility in facilities}
    reasons = []
    for facility_id in notice.facility_ids:
        forecast = forecasts.get(facility_id)
        if facility_id not in known or lowest_load_kw(forecast, notice.starts_at, notice.ends_at) is None:
            reasons.append(
                Reason(
                    code="no_forecast",
                    detail="no forecast covers the window: its meters or their history are missing",
                    facility_id=facility_id,
                )
            )
    return tuple(reasons)


def _offer(
    facility: Facility, forecast: IssuedForecast, notice: Notice, terms: Terms, now: datetime
) -> FacilityOffer:
    quality = quality_at(forecast.data_quality, forecast.cycle_start, now)
    return FacilityOffer(
        facility_id=facility.state.facility_id,
        zones=tuple(
            ZoneOffer(zone.zone_id, zone.curtailable_kw, zone.strategy, zone.max_magnitude)
            for zone in facility.state.zones.values()
        ),
        forecast_kw=lowest_load_kw(forecast, notice.starts_at, notice.ends_at),
        blocked=quality != "full" and terms.forecast_guardrail == "block",
    )


def _target(share: FacilityShare, forecast: IssuedForecast, now: datetime) -> FacilityTarget:
    return FacilityTarget(
        facility_id=share.facility_id,
        target_kw=share.target_kw,
        headroom_kw=share.headroom_kw,
        forecast_id=forecast.forecast_id,
        forecast_position=forecast.position,
        data_quality=quality_at(forecast.data_quality, forecast.cycle_start, now),
        blocked=share.blocked,
    )


def _dispatch(
    dr_event: DREvent,
    facility: Facility,
    share: FacilityShare,
    forecast: IssuedForecast,
    deciding: Deciding,
) -> Dispatch:
    notice, bms = dr_event.state.judged_notice, facility.state.bms
    if bms is None:
        raise LookupError(f"{share.facility_id} has zones but no BMS; import its portfolio entry again")
    strategies = {zone.zone_id: zone.strategy for zone in facility.state.zones.values()}
    quality = quality_at(forecast.data_quality, forecast.cycle_start, deciding.now)
    dispatch = Dispatch.plan(
        deciding.provenance,
        dr_event_id=dr_event.id,
        facility_id=share.facility_id,
        plan_revision=dr_event.state.plan_revision,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        expires_at=notice.ends_at + COMMAND_EXPIRY,
        target_kw=share.target_kw,
        bms=bms,
        zones=tuple(
            ZonePlan(
                zone_id=zone.zone_id,
                target_kw=zone.target_kw,
                strategy=strategies[zone.zone_id],
                magnitude=zone.magnitude,
            )
            for zone in share.zones
        ),
        forecast_id=forecast.forecast_id,
        data_quality=quality,
    )
    if share.blocked:
        dispatch.block(
            deciding.provenance,
            data_quality=quality,
            reason=f"its forecast is {quality}; override it with a reason, or let it stay out",
        )
    return dispatch
