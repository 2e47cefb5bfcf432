"""Who sees what of a settlement: we all of it, a utility its own DR events, the key of a facility its own part."""

import msgspec
from msgspec.structs import replace

from application.settlement.flags import OTHER_DR_EVENT
from application.settlement.own_part import own_part
from application.settlement.shapes import SettlementDocument


class Audience(msgspec.Struct, frozen=True):
    """`utility_id` or `facility_id`, or neither."""

    utility_id: str | None = None
    facility_id: str | None = None

    @property
    def sees_all(self) -> bool:
        return self.utility_id is None and self.facility_id is None


def seen_by(
    audience: Audience, document: SettlementDocument, previous: SettlementDocument | None = None
) -> SettlementDocument:
    """The part that the audience may see. `previous`: the revision before. Raises FacilityNotSettled."""
    if audience.facility_id is not None:
        document = own_part(document, audience.facility_id, previous)
    return document if audience.utility_id is None else _for_utility(document)


def _for_utility(document: SettlementDocument) -> SettlementDocument:
    """Without the days of other DR events, which may be those of another utility."""
    dr_event = document.inputs.dr_event
    facilities = tuple(replace(one, event_days=()) for one in dr_event.facilities)
    inputs = replace(document.inputs, dr_event=replace(dr_event, facilities=facilities))
    flags = tuple(one for one in document.flags if one.flag != OTHER_DR_EVENT)
    return replace(document, inputs=inputs, flags=flags)
