"""The agreed baseline of a DR event: the method of its program at acceptance."""

from application.ports.event_store.event_store import EventStore
from domain.dr_event import DREvent
from domain.identifiers import program_stream_id
from domain.program import Program


def agreed_baseline(store: EventStore, dr_event: DREvent) -> str:
    """The name of the method. Raises LookupError where the notice, or the version of its program, is missing
    in the log."""
    notice = dr_event.state.notice
    if notice is None:
        raise LookupError(f"DR event {dr_event.id} has targets but no notice")
    program = store.load(Program, program_stream_id(notice.program_id))
    terms = program.state.versions.get(dr_event.state.program_version)
    if terms is None:
        raise LookupError(f"program {notice.program_id} has no version {dr_event.state.program_version}")
    return terms.baseline.method
