"""`gridproof audit`: replays a DR event, a facility or a program from the log."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.audit.administration import administration
from interfaces.cli.audit.check import check
from interfaces.cli.audit.export import export
from interfaces.cli.audit.ledger import prove, verify
from interfaces.cli.audit.subjects import as_of_text, print_facility, print_program
from interfaces.cli.audit.what_if import what_if_command
from interfaces.cli.console.parameter_types import as_of
from interfaces.cli.console.printing import print_answer, print_fields, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from domain.dispatch import DispatchState
    from projections.audit.replay import AuditDocument
    from projections.audit.steps import AuditTrailRow
    from projections.audit.stream_log import AsOf

REPLAY_EXAMPLE = """
\b
Examples:
  gridproof audit replay UTIL-2026-0042
  gridproof audit replay UTIL-2026-0042 --as-of 2026-07-14T21:30:00Z --json
  gridproof audit replay UTIL-2026-0042 --as-of 1234
  gridproof audit replay --facility fac-001
  gridproof audit replay --program summer-peak --as-of 2026-07-14T21:30:00Z

ID is ours, or the utility's own. Of a facility or a program it is every change, with what was in force before. As of a
moment means: the longest part of the log, from its beginning, in which
nothing was recorded later than that; as of a position: the part that ends there. Telemetry is not rewound; what was
measured then is in the log.
"""


@click.group("audit", epilog=REPLAY_EXAMPLE)
def audit_group() -> None:
    """The audit: acts, by whom, why, and caused by what, straight from the log."""


audit_group.add_command(what_if_command)
for other in (administration, export, verify, prove, check):
    audit_group.add_command(other)


@audit_group.command("replay", epilog=REPLAY_EXAMPLE)
@click.argument("reference", metavar="ID", required=False)
@click.option("--facility", "facility_id", metavar="F", help="Instead of a DR event: this facility.")
@click.option("--program", "program_id", metavar="P", help="Instead of a DR event: this program.")
@click.option(
    "--as-of",
    "past",
    metavar="TIME|N",
    type=as_of,
    help="Only what was recorded until then (ISO 8601 with offset), or up to position N of the log.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def replay(
    reference: str | None,
    facility_id: str | None,
    program_id: str | None,
    past: "AsOf | None",
    as_json: bool,
) -> None:
    """Every step of a DR event, from the first notification on, and its state at the end or at a moment; or every
    change of a facility or a program."""
    from projections.audit.replay import audit_document, resolve_dr_event
    from projections.audit.subject_replay import facility_replay, program_replay

    if sum(one is not None for one in (reference, facility_id, program_id)) != 1:
        raise click.UsageError("name one of: the ID of a DR event, --facility, --program")
    with opened_stores() as stores:
        log = stores.stream_log()
        document: Any
        print_it: Callable[[Any], None]
        if facility_id is not None:
            document, print_it = facility_replay(log, facility_id, as_of=past), print_facility
        elif program_id is not None:
            document, print_it = program_replay(log, program_id, as_of=past), print_program
        else:
            dr_event_id = resolve_dr_event(log, str(reference))
            document, print_it = audit_document(log, dr_event_id, as_of=past), print_document
    print_answer(document, lambda: print_it(document), as_json=as_json)


def print_document(document: "AuditDocument") -> None:
    """Print the timeline, then the resulting state."""
    print_table(
        ["position", "recorded at", "who", "what", "why", "caused by", "trace"],
        [
            (step.position, step.recorded_at, step.who, step.what, step.why, _cause(step), step.trace_id)
            for step in document.steps
        ],
    )
    state = document.dr_event
    print_fields(
        [
            ("DR event", document.dr_event_id),
            ("of the utility", f"{document.utility_id} {document.utility_event_id}"),
            ("as of", as_of_text(document.as_of, document.position)),
            ("status", state.status),
            ("settlement", state.settlement_status),
            ("outcome", state.outcome),
            ("delivered kW", state.delivered_kw),
            ("reserved", document.reserved_facilities),
        ]
    )
    if document.dispatches:
        print_table(
            ["facility", "status", "target kW", "delivered kW", "BMS commands", "what went wrong"],
            [
                (
                    facility_id,
                    dispatch.status,
                    dispatch.target_kw,
                    dispatch.delivered_kw,
                    len(dispatch.commands),
                    _what_went_wrong(dispatch),
                )
                for facility_id, dispatch in document.dispatches.items()
            ],
        )


def _what_went_wrong(dispatch: "DispatchState") -> str | None:
    """As far as its state says; the reasons of the steps say more."""
    blocked = f"blocked: its forecast is {dispatch.blocked_by}" if dispatch.status == "blocked" else None
    left = None if dispatch.left is None else f"{dispatch.left.replace('_', ' ')}: {dispatch.left_reason}"
    return dispatch.failure or blocked or left or dispatch.aborted_reason


def _cause(step: "AuditTrailRow") -> str:
    cause = step.caused_by
    if cause.kind == "domain_event":
        return f"{cause.position} {cause.topic}"
    return f"command {str(cause.causation_id)[:8]}"
