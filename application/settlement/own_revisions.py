"""The changes by the revisions of a settlement for one facility."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from application.settlement.own_part import FacilityNotSettled, own_part
from application.settlement.shapes import SettlementDocument

OwnWhy = Literal["rule", "event", "baseline", "meter", "portfolio"]


class OwnRevision(msgspec.Struct, frozen=True, kw_only=True):
    """The facility's part of one revision. `because`: what of it changed; `portfolio`: only others' parts did, which
    its share of the portfolio's lines follows."""

    revision: int
    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...]
    currency: str
    gross: str
    net: str
    difference: str | None
    because: tuple[OwnWhy, ...]


def own_revisions(documents: Iterable[SettlementDocument], facility_id: str) -> Iterator[OwnRevision]:
    """`documents`: one revision after the other, read one at a time: one takes up to 60 MB. Those in which
    the facility has no part are left out."""
    before: SettlementDocument | None = None
    for document in documents:
        try:
            part = own_part(document, facility_id)
        except FacilityNotSettled:
            continue
        facility = part.facilities[0]
        difference = None
        if before is not None:
            difference = (
                f"{Decimal(facility.gross) - Decimal(before.facilities[0].gross):.{part.minor_unit}f}"
            )
        yield OwnRevision(
            revision=part.revision,
            status=part.status,
            reasons=part.reasons,
            currency=part.currency,
            gross=facility.gross,
            net=facility.net,
            difference=difference,
            because=() if before is None else tuple(_changed(before, part)),
        )
        before = part


def _changed(before: SettlementDocument, part: SettlementDocument) -> Iterator[OwnWhy]:
    old, new = before.inputs, part.inputs
    inputs_changed = False
    compared: tuple[tuple[OwnWhy, object, object], ...] = (
        ("rule", old.program.settlement, new.program.settlement),
        ("event", old.dr_event, new.dr_event),
        ("baseline", _steps(before, "adjusted_kw"), _steps(part, "adjusted_kw")),
        ("meter", _steps(before, "metered_kw"), _steps(part, "metered_kw")),
    )
    for why, was, now in compared:
        if was != now:
            inputs_changed = True
            yield why
    if not inputs_changed and before.facilities[0].gross != part.facilities[0].gross:
        yield "portfolio"


def _steps(part: SettlementDocument, member: str) -> list[str | None]:
    return [getattr(step, member) for step in part.facilities[0].steps]
