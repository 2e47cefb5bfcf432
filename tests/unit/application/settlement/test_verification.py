"""Each settlement in the log follows from the log; a planted change of a document or of a domain event is named."""

from typing import Any

import pytest
from msgspec.structs import replace

from application.commands.dispatch import RecordNotMeasurable
from application.settlement.document import canonical_bytes, read_document
from application.settlement.log_states import MeasurementsRead
from application.settlement.restoration import restore_documents
from application.settlement.verification import EARLIER_STATES, SettlementReport, verify_settlements
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.identifiers import program_stream_id
from domain.program import Program
from domain.program.settlement_rule import Energy
from projections.audit.stream_log import StreamEntry
from tests.fakes.stream_log import FakeStreamLog
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, program_entry
from tests.settled_system import MEASURE, RULE, SETTLE, completed, corrected_to, measured


def resettled() -> InProcessSystem:
    there = measured()
    there.scenario.after(SETTLE, corrected_to("fac-002", 470.0), MEASURE, SETTLE)
    return there


def log_of(there: InProcessSystem) -> FakeStreamLog:
    return FakeStreamLog(there.scenario.store.read_after(0, 1_000_000))


def verified(
    there: InProcessSystem, log: FakeStreamLog | None = None, *, after: int = 0, until: int | None = None
) -> SettlementReport:
    read = log or log_of(there)
    last = read.head() if until is None else until
    return verify_settlements(read, there.scenario.settlements, after=after, until=last)


def planted(there: InProcessSystem, kind: type[Any], **changed: Any) -> FakeStreamLog:
    """The log with another last domain event of that kind."""
    log = log_of(there)
    number = max(n for n, entry in enumerate(log.entries) if isinstance(entry.domain_event, kind))
    entry = log.entries[number]
    log.entries[number] = StreamEntry(entry.position, replace(entry.domain_event, **changed))
    return log


def test_every_revision_follows_from_the_log_as_it_was_then() -> None:
    assert verified(resettled()) == SettlementReport(settlements=2, findings=())


def test_a_dr_event_without_a_rule_holds_too() -> None:
    there = measured(None)
    there.scenario.after(SETTLE)
    assert verified(there) == SettlementReport(settlements=1, findings=())


def test_a_facility_that_was_not_measured_has_the_time_zone_of_its_registration() -> None:
    there = completed()
    nothing = [
        RecordNotMeasurable(dr_event_id=DR_EVENT_ID, facility_id=one, reason="no readings")
        for one in ("fac-001", "fac-002")
    ]
    there.scenario.after(*nothing, MEASURE, SETTLE)
    assert verified(there).holds


@pytest.mark.parametrize("revision", [0, 1])
def test_a_document_that_was_changed_is_named(revision: int) -> None:
    there = resettled()
    documents = there.scenario.settlements
    key = list(documents.stored)[revision]
    changed = replace(read_document(documents.stored[key]), total="9999.00")
    documents.stored[key] = canonical_bytes(changed)
    [finding] = verified(there).findings
    assert (finding.kind, finding.dr_event_id, finding.revision) == ("document", DR_EVENT_ID, revision)
    assert "was changed after it was stored" in finding.detail


def test_a_document_that_was_removed_is_named() -> None:
    there = resettled()
    there.scenario.settlements.stored.pop(next(iter(there.scenario.settlements.stored)))
    [finding] = verified(there).findings
    assert (finding.kind, finding.revision) == ("document", 0)
    assert "is missing" in finding.detail


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 1)])
def test_lost_documents_follow_from_the_log_with_the_same_digests(lost: tuple[int, ...]) -> None:
    there = resettled()
    documents = there.scenario.settlements
    before = dict(documents.stored)
    for number in lost:
        documents.stored.pop(list(before)[number])
    findings = verified(there).findings
    assert restore_documents(log_of(there), documents, findings) == len(lost)
    assert documents.stored == before
    assert verified(there).holds


def test_a_document_that_was_changed_is_not_restored_beside_it() -> None:
    there = resettled()
    documents = there.scenario.settlements
    first = next(iter(documents.stored))
    documents.stored[first] = b"{}"
    assert restore_documents(log_of(there), documents, verified(there).findings) == 0
    assert documents.stored[first] == b"{}"


def test_a_total_in_the_log_that_does_not_follow_is_named() -> None:
    there = resettled()
    last = there.recorded(DREvent.Resettled)[-1]
    log = planted(there, DREvent.Resettled, figures=replace(last.figures, total="9999.00"))
    found = verified(there, log).findings
    assert [one.kind for one in found] == ["difference", "figures"]
    assert "it says 9999.00 USD; from the log follows 270.00 USD" in found[1].detail


def test_a_rate_in_the_log_that_was_changed_is_named() -> None:
    there = resettled()
    terms = there.scenario.store.load(Program, program_stream(there)).state.versions[1]
    cheaper = replace(terms, settlement=replace(RULE, energy=Energy(rate="1.00")))
    found = verified(there, planted(there, Program.TermsAgreed, terms=cheaper)).findings
    assert [(one.kind, one.revision) for one in found] == [("figures", 0), ("figures", 1)]


def program_stream(there: InProcessSystem) -> Any:
    return program_stream_id(program_entry().program_id)


def test_a_measured_value_in_the_log_that_was_changed_is_named() -> None:
    there = measured()
    there.scenario.after(SETTLE)
    figures = there.recorded(Dispatch.Measured)[-1].figures
    first, *rest = figures.intervals
    changed = replace(figures, intervals=(replace(first, metered_kw=0.0), *rest))
    [finding] = verified(there, planted(there, Dispatch.Measured, figures=changed)).findings
    assert finding.kind == "figures"


def test_lines_of_a_document_that_do_not_follow_are_named() -> None:
    """Somebody who may write to log and table stores another document, and its digest in the domain event."""
    there = measured()
    there.scenario.after(SETTLE)
    documents = there.scenario.settlements
    document = read_document(next(iter(documents.stored.values())))
    line = replace(document.lines[0], amount="181.00")
    forged = canonical_bytes(replace(document, lines=(line, *document.lines[1:])))
    digest = documents.add(DR_EVENT_ID, forged, revision=0)
    settled = there.recorded(DREvent.Settled)[-1]
    log = planted(there, DREvent.Settled, figures=replace(settled.figures, digest=digest))
    [finding] = verified(there, log).findings
    assert finding.kind == "figures"
    assert "fac-001 energy 181.00, not 180.00" in finding.detail


@pytest.mark.parametrize("corrections", [1, EARLIER_STATES + 3])
def test_measurements_that_were_recorded_while_it_was_settled_are_no_difference(corrections: int) -> None:
    there = measured()
    there.scenario.after(SETTLE)
    log = log_of(there)
    settled = next(n for n, one in enumerate(log.entries) if isinstance(one.domain_event, DREvent.Settled))
    for number in range(corrections):
        there.scenario.after(corrected_to("fac-002", 470.0 + number, data_hash=f"b{number}"))
    recorded = [one.domain_event for one in log_of(there).entries[-corrections:]]
    assert {type(one) for one in recorded} == {Dispatch.Remeasured}
    at = log.entries[settled].position
    log.entries[settled:] = [
        StreamEntry(at + number, domain_event)
        for number, domain_event in enumerate([*recorded, log.entries[settled].domain_event])
    ]
    assert verified(there, log).holds


def test_only_settlements_of_the_span_are_verified() -> None:
    there = resettled()
    first = next(
        entry.position for entry in log_of(there).entries if isinstance(entry.domain_event, DREvent.Settled)
    )
    assert verified(there, until=first).settlements == 1
    assert verified(there, after=first).settlements == 1


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        (0, ["measured"]),
        (1, ["measured", "corrected"]),
        (None, ["measured", "corrected", "withdrawn"]),
    ],
)
def test_measurements_after_those_that_were_read_are_left_out(named: int | None, kept: list[str]) -> None:
    """Measured, corrected and withdrawn within a minute before the settlement."""
    there = measured()
    there.scenario.after(corrected_to("fac-002", 470.0))
    of_dispatch = [
        one
        for one in log_of(there).entries
        if isinstance(one.domain_event, Dispatch.Measured | Dispatch.Remeasured)
        and one.domain_event.facility_id == "fac-002"
    ]
    last = of_dispatch[-1]
    fact: Any = last.domain_event
    withdrawn = Dispatch.MeasurementWithdrawn(
        **{
            name: getattr(fact, name)
            for name in ("originator_id", "correlation_id", "causation_id", "actor", "tenant", "trace_id")
        },
        originator_version=fact.originator_version + 1,
        timestamp=fact.recorded_at,
        dr_event_id=fact.dr_event_id,
        facility_id=fact.facility_id,
        revision=2,
        corrected_at=fact.recorded_at,
        previous_kw=30.0,
        reason="readings were removed",
    )
    entries = [*of_dispatch, StreamEntry(last.position + 1, withdrawn)]
    measurements = {} if named is None else {"fac-002": str(of_dispatch[named].domain_event.domain_event_id)}
    read = MeasurementsRead(measurements, fact.recorded_at).as_read(entries, "fac-002")
    names = {Dispatch.Measured: "measured", Dispatch.Remeasured: "corrected"}
    assert [names.get(type(one.domain_event), "withdrawn") for one in read] == kept
