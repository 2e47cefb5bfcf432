"""The agreed baseline of a DR event: that of its program at acceptance."""

from datetime import date

import msgspec

from application.ports.event_store.event_store import EventStreams
from domain.baseline import BaselineParameters
from domain.dr_event import DREvent
from domain.identifiers import program_stream_id
from domain.program import Program


class AgreedBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement by a program's terms."""

    program_id: str = ""
    """Whose enrolments may have a firm service level of their own."""
    method: str
    parameters: BaselineParameters = BaselineParameters()
    holidays: frozenset[date] | None = None
    """None: those of each facility's region."""
    clip_delivery: bool = False
    """Delivery below zero counts as zero, in each quarter-hour."""


def agreed_baseline(store: EventStreams, dr_event: DREvent) -> AgreedBaseline:
    """The terms that were accepted. Raises LookupError where the notice, or the version of its program, is missing
    in the log."""
    notice = dr_event.state.notice
    if notice is None:
        raise LookupError(f"DR event {dr_event.id} has targets but no notice")
    program = store.load(Program, program_stream_id(notice.program_id))
    terms = program.state.versions.get(dr_event.state.program_version)
    if terms is None:
        raise LookupError(f"program {notice.program_id} has no version {dr_event.state.program_version}")
    return AgreedBaseline(
        program_id=notice.program_id,
        method=terms.baseline.method,
        parameters=terms.baseline.parameters,
        holidays=None if terms.holidays is None else frozenset(terms.holidays),
        clip_delivery=terms.clip_delivery,
    )
