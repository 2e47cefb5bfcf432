"""Prints the replay of a facility or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.cli.console.printing import print_fields, print_table, written

if TYPE_CHECKING:
    from projections.audit.administration import Act
    from projections.audit.stream_log import AsOf
    from projections.audit.subject_replay import FacilityReplay, ProgramReplay


def print_facility(document: FacilityReplay) -> None:
    """Its changes, then the state then."""
    _print_steps(document.steps)
    state = document.facility
    print_fields(
        [
            ("facility", document.facility_id),
            ("as of", as_of_text(document.as_of, document.position)),
            ("status", state.status),
            ("opted out", "of every DR event" if state.opted_out else None),
            ("programs", tuple(sorted(state.programs))),
            ("meters", tuple(sorted(state.meters))),
            ("zones", tuple(sorted(state.zones))),
            ("groups", tuple(sorted(state.groups))),
        ]
    )


def print_program(document: ProgramReplay) -> None:
    """Its changes, then the state then."""
    _print_steps(document.steps)
    print_fields(
        [
            ("program", document.program_id),
            ("of the utility", document.utility_id),
            ("as of", as_of_text(document.as_of, document.position)),
            ("version", document.program.version),
        ]
    )


def as_of_text(as_of: AsOf | None, position: int) -> str:
    return f"{written('now' if as_of is None else as_of)} (position {position})"


def _print_steps(steps: tuple[Act, ...]) -> None:
    print_table(
        ["position", "recorded at", "who", "what", "why", "trace"],
        [(step.position, step.recorded_at, step.who, step.what, step.why, step.trace_id) for step in steps],
    )
