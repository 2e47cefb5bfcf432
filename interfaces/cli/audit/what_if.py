"""`gridproof audit what-if`: folds a DR event again with changed inputs and compares the result with the record."""

from typing import TYPE_CHECKING, get_args

import click

from domain.allocation.proportional_split import RULES, AllocationRule
from domain.baseline import METHODS
from interfaces.cli.console.parameter_types import as_of
from interfaces.cli.console.printing import print_fields, print_json, print_table
from interfaces.cli.console.session import running_settings
from projections.as_of.what_if_document import Change, Part, Policy, WhatIf

if TYPE_CHECKING:
    from projections.audit.stream_log import AsOf

EXAMPLE = """
\b
Examples:
  gridproof audit what-if UTIL-2026-0042 --without fac-007
  gridproof audit what-if UTIL-2026-0042 --policy reallocate
  gridproof audit what-if UTIL-2026-0042 --target-kw 900 --allocation largest-first --json
  gridproof audit what-if UTIL-2026-0042 --baseline high-4-of-5

It reads the log and writes nothing. Headrooms are those of the plan; who failed fails again, before the window; who
served delivers the recorded share of whatever its target is then. Another baseline is computed on the readings as they
are now, with the recorded holidays and event days: the log holds only the load that the recorded method used.
"""


@click.command("what-if", epilog=EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option(
    "--without", multiple=True, metavar="F", help="Leave this facility out of the plan; repeatable."
)
@click.option("--target-kw", type=click.FloatRange(min=0), metavar="X", help="Another target.")
@click.option("--allocation", type=click.Choice(RULES), help="Another rule for the shares.")
@click.option(
    "--policy",
    type=click.Choice(get_args(Policy)),
    help="Another policy for the share of a facility that fails.",
)
@click.option("--baseline", type=click.Choice(list(METHODS)), help="Measure by another baseline.")
@click.option("--as-of", "past", metavar="TIME|N", type=as_of, help="Of the DR event as it stood then.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def what_if_command(
    *,
    reference: str,
    without: tuple[str, ...],
    target_kw: float | None,
    allocation: AllocationRule | None,
    policy: Policy | None,
    baseline: str | None,
    past: "AsOf | None",
    as_json: bool,
) -> None:
    """Recorded and hypothetical side by side; nothing is written."""
    change = Change(
        without=tuple(sorted(set(without))),
        target_kw=target_kw,
        allocation=allocation,
        policy=policy,
        baseline=baseline,
    )
    if change == Change():
        raise click.UsageError(
            "say what is to be different: --without, --target-kw, --allocation, --policy, --baseline"
        )
    found = _answer(reference, change, past)
    if as_json:
        print_json(found)
    else:
        print_comparison(found)


def _answer(reference: str, change: Change, past: "AsOf | None") -> WhatIf:
    from interfaces.bootstrap.offline import opened_history
    from interfaces.remeasuring import remeasured_by
    from projections.as_of.what_if import what_if
    from projections.audit.replay import audit_document, resolve_dr_event

    with opened_history(running_settings()) as history:
        document = audit_document(history.log, resolve_dr_event(history.log, reference), as_of=past)
        remeasured = None
        if change.baseline is not None:
            remeasured = remeasured_by(
                change.baseline,
                document,
                history.log,
                history.telemetry,
                public_holidays=history.public_holidays,
                regression=history.regression,
            )
    return what_if(document, change, remeasured=remeasured)


def print_comparison(found: WhatIf) -> None:
    """Print each facility, then the totals."""
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


def _cells(part: Part) -> tuple[str, float, float | None]:
    return part.outcome.replace("_", " "), part.target_kw, part.delivered_kw


def _changed_since(found: WhatIf) -> tuple[str, ...]:
    return tuple(i for i, again in sorted(found.remeasured.items()) if again.same_readings is False)
