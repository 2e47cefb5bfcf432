"""A what-if as tables for people: kW, then money."""

import click
import msgspec

from application.settlement.shapes import LineFigures
from application.settlement.what_if import FacilityAmountsFigures, SettlementSide
from interfaces.cli.console.printing import print_fields, print_table, printable
from interfaces.what_if.settlement import SettlementWhatIf
from projections.as_of.what_if_document import Part, WhatIf

AMOUNT_WIDTH = 14


class NoAmounts(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer in money; `code` is stable."""

    code: str
    detail: str


class WhatIfDocument(WhatIf, frozen=True, kw_only=True):
    """The document of `gridproof audit what-if --json`."""

    settlement: SettlementWhatIf | None
    no_amounts: NoAmounts | None


def print_power(found: WhatIf) -> None:
    """Each facility, then the totals."""
    print_table(
        [
            "facility",
            "headroom kW",
            "recorded",
            "target kW",
            "delivered kW",
            "what if",
            "target kW",
            "delivered kW",
        ],
        [
            (item.facility_id, item.headroom_kw, *_cells(item.recorded), *_cells(item.hypothetical))
            for item in found.facilities
        ],
    )
    rows = ("target_kw", "planned_kw", "missing_kw", "lost_kw", "delivered_kw", "shortfall_kw")
    print_table(
        ["kW", "recorded", "what if"],
        [
            (name.removesuffix("_kw"), getattr(found.recorded, name), getattr(found.hypothetical, name))
            for name in rows
        ],
    )
    print_fields(
        [
            ("DR event", f"{found.utility_id} {found.utility_event_id}, up to position {found.position}"),
            ("not measured", found.hypothetical.unmeasured_facilities),
            ("readings since changed", _changed_since(found)),
        ]
    )


def print_amounts(found: SettlementWhatIf) -> None:
    """Each line, the total, each facility, then the reasons of the difference."""
    moved = {(one.unit, one.component): one.difference for one in found.changes}
    lines = [_of(side) for side in (found.in_force, found.what_if)]
    print_table(
        ["unit", "component", f"in force {found.currency}", "what if", "difference", "what if, in numbers"],
        [
            (
                printable(unit),
                component,
                _right(before.amount if (before := lines[0].get((unit, component))) else None),
                _right(after.amount if (after := lines[1].get((unit, component))) else None),
                _right(moved.get((unit, component))),
                after.formula if after else None,
            )
            for unit, component in dict.fromkeys([*lines[0], *lines[1]])
        ]
        + [
            (
                "total",
                "",
                _right(found.in_force.total),
                _right(found.what_if.total),
                _right(found.difference),
                None,
            )
        ],
    )
    print_table(
        ["facility", "gross in force", "what if", "difference", "net in force", "what if", "left out"],
        [
            (
                printable(one.facility_id),
                _gross(one.in_force),
                _gross(one.what_if),
                _right(one.difference),
                _right(None if one.in_force is None else one.in_force.net),
                _right(None if one.what_if is None else one.what_if.net),
                None if one.what_if is None else one.what_if.reason,
            )
            for one in found.facilities
        ],
    )
    recorded = "computed, not recorded yet" if found.revision is None else f"revision {found.revision}"
    reasons = ", ".join(f"{one.why} {one.amount}" for one in found.by_reason)
    print_fields(
        [
            ("in force", f"{recorded}, {printable(found.program_id)} version {found.program_version}"),
            ("status in force", _status(found.in_force)),
            ("status what if", _status(found.what_if)),
            ("difference", f"{found.difference} {found.currency}"),
            ("by reason", reasons or "none"),
        ]
    )


def print_no_amounts(found: NoAmounts) -> None:
    click.echo(f"no amounts: {printable(found.detail)}")


def _cells(part: Part) -> tuple[str, float, float | None]:
    return part.outcome.replace("_", " "), part.target_kw, part.delivered_kw


def _changed_since(found: WhatIf) -> tuple[str, ...]:
    return tuple(i for i, again in sorted(found.remeasured.items()) if again.same_readings is False)


def _of(side: SettlementSide) -> dict[tuple[str, str], LineFigures]:
    return {(line.unit, line.component): line for line in side.lines}


def _status(side: SettlementSide) -> str:
    reasons = ", ".join(side.reasons)
    return side.status.replace("_", " ") + (f": {reasons}" if reasons else "")


def _gross(amounts: FacilityAmountsFigures | None) -> str | None:
    return _right(None if amounts is None else amounts.gross)


def _right(amount: str | None) -> str | None:
    return None if amount is None else amount.rjust(AMOUNT_WIDTH)
