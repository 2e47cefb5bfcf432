"""From readings to money: the total by the measurements that were computed again from the file's readings; pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from application.ledger.recomputation.differences import FigureDifference
from application.ledger.recomputation.results import Recomputation, RecomputedFacility
from application.ledger.recomputation.settlement.expected import expected_settlement
from application.ledger.recomputation.settlement.results import FromReadings, RecomputedRevision
from application.ledger.recomputation.settlement.states import LogStates
from domain.dispatch import DispatchState, MeasuredLoad


def from_readings(
    revision: RecomputedRevision,
    states: LogStates,
    version: int,
    tz_of: Mapping[str, str],
    measured: Recomputation,
) -> RecomputedRevision:
    """The revision with that total. A measurement that was not computed again counts as it was recorded; one that is
    equal does too, since a last digit may differ between processors."""
    again = {one.facility_id: one for one in measured.facilities if one.figures is not None}
    loads = {
        facility_id: load
        for facility_id, dispatch in states.dispatches.items()
        if (load := _load(dispatch, again.get(facility_id))) is not None
    }
    changed = {
        facility_id: msgspec.structs.replace(states.dispatches[facility_id], measured_load=load)
        for facility_id, load in loads.items()
        if load is not states.dispatches[facility_id].measured_load
    }
    total = revision.recomputed_total
    if changed:
        measured_again = msgspec.structs.replace(states, dispatches={**states.dispatches, **changed})
        total = expected_settlement(measured_again, version, tz_of).figures.total
    found = FromReadings(
        facilities=len(loads),
        measured=sum(one.measured_load is not None for one in states.dispatches.values()),
        total=total,
    )
    differences = revision.differences
    if total != revision.recomputed_total:
        differences += (
            FigureDifference(
                what="total from the readings in the file",
                recorded=revision.total or "none",
                recomputed=total or "none",
            ),
        )
    return msgspec.structs.replace(revision, from_readings=found, differences=differences)


def _load(dispatch: DispatchState, again: RecomputedFacility | None) -> MeasuredLoad | None:
    """The load of the recomputed figures, if they are of the measurement that the settlement used."""
    load = dispatch.measured_load
    if load is None or again is None or again.domain_event_id != load.domain_event_id:
        return None
    if again.status == "equal" or again.figures is None or not again.figures.intervals:
        return load
    return msgspec.structs.replace(
        load,
        starts_at=again.figures.intervals[0].starts_at,
        adjusted_kw=tuple(one.adjusted_kw for one in again.figures.intervals),
        metered_kw=tuple(one.metered_kw for one in again.figures.intervals),
    )
