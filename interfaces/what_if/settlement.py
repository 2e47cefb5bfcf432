"""What-if in money: the question, and its answer beside the settlement in force."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from application.settlement.programmes import shipped_programmes
from application.settlement.settled_event import step_kw
from application.settlement.shapes import ProgramInputs
from application.settlement.what_if import (
    Alteration,
    RefusalCode,
    SettlementComparison,
    WhatIfRefused,
    altered,
    compared,
)
from domain.baseline import rule_named
from domain.dispatch import MeasurementFigures
from domain.event_sourcing.decoders import converted
from domain.program import BaselineTerms, SettlementRule
from domain.settlement.inputs import MeteringStep, step_window
from domain.settlement.quantities import rounding_of
from domain.settlement.resettlement import Basis
from domain.settlement.settle import Steps
from domain.telemetry.intervals import INTERVAL_S
from interfaces.what_if.in_force import SettlementInForce, settlement_in_force
from interfaces.what_if.remeasuring import MeasuredAgain, MeasuringSources, measured_again
from projections.audit.stream_log import AsOf, StreamLog

MOST_NAMED = 10
MOST_RULE_BYTES = 64 * 1024
"""Of a rule that is given; the shipped ones have less than 3 kB."""


class RuleQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Another rule: given, that of another version of the program, or that of a shipped programme. One of them, or
    none."""

    given: SettlementRule | None = None
    program_version: int | None = None
    programme: str | None = None

    @property
    def is_none(self) -> bool:
        return self == RuleQuestion()


class SettlementQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The alterations that are asked about."""

    rule: RuleQuestion = RuleQuestion()
    baseline: BaselineTerms | None = None
    without: tuple[str, ...] = ()


class MostCompared(NamedTuple):
    """Facilities, and their metering steps together, of a DR event that may be compared."""

    facilities: int
    steps: int


class AlterationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The alteration that was asked for, as the answer repeats it."""

    rule: str | None
    """`given`, `version N`, or the name of a programme."""
    baseline: BaselineTerms | None
    without: tuple[str, ...]


class FacilityMeasuredAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A facility by the other baseline."""

    delivered_kw: float | None
    why: str | None
    """Why it cannot be measured by it."""
    same_readings: bool | None
    """Whether the readings are still those of the recorded measurement; None: nothing was measured, or it cannot be
    told."""


class SettlementWhatIf(SettlementComparison, frozen=True, kw_only=True):
    """The settlement in force and the hypothetical one. `revision` null: nothing is recorded yet, and what is compared
    with follows from the measurements."""

    dr_event_id: UUID
    utility_event_id: str
    program_id: str
    program_version: int
    """That is settled by."""
    revision: int | None
    as_of: datetime | int | None
    position: int
    """Of the log, that the settlement in force follows from."""
    alteration: AlterationSummary
    measured_again: dict[str, FacilityMeasuredAgain]
    """Facility -> its result by the other baseline."""


def check_baseline(baseline: BaselineTerms) -> None:
    """Raises UnknownBaselineMethod or InvalidBaselineRule. A facility may have a firm level of its own."""
    level_kw = baseline.parameters.level_kw or 0.0
    rule_named(baseline.method, msgspec.structs.replace(baseline.parameters, level_kw=level_kw))


def settlement_what_if(
    log: StreamLog,
    dr_event_id: UUID,
    question: SettlementQuestion,
    sources: MeasuringSources,
    *,
    as_of: AsOf | None = None,
    most: MostCompared | None = None,
    on_facility: Callable[[], None] = lambda: None,
) -> SettlementWhatIf:
    """Reads the log and, for another baseline, the readings. Raises WhatIfRefused, as `settlement_in_force`, and as
    `measured_again`."""
    in_force = settlement_in_force(log, dr_event_id, as_of)
    if most is not None:
        _check_size(in_force, most)
    again = None
    if question.baseline is not None:
        again = measured_again(question.baseline, in_force.document, log, sources, on_facility=on_facility)
    return answer(in_force, question, again)


def _check_size(in_force: SettlementInForce, most: MostCompared) -> None:
    """Raises WhatIfRefused. What a comparison takes follows from the metering steps: a day has 96."""
    notice, facilities = in_force.dr_event.judged_notice, len(in_force.dispatches)
    steps = facilities * step_window(notice.starts_at, notice.ends_at, INTERVAL_S).count
    counts: tuple[tuple[RefusalCode, str, int, int], ...] = (
        ("too_many_facilities", "facilities", facilities, most.facilities),
        ("too_many_steps", "metering steps of all facilities together", steps, most.steps),
    )
    for code, what, count, bound in counts:
        if count > bound:
            raise WhatIfRefused(
                code,
                f"the DR event has {count} {what}, more than {bound}: ask on the command line with "
                f"`gridproof audit what-if {in_force.document.dr_event_id}`",
            )


def answer(
    in_force: SettlementInForce, question: SettlementQuestion, again: Mapping[str, MeasuredAgain] | None
) -> SettlementWhatIf:
    """`again` holds the measurements by the baseline of the question. Raises WhatIfRefused."""
    document, own_rule = in_force.document, in_force.terms.settlement
    rule = _rule(in_force, question.rule)
    agreed = own_rule or rule
    if agreed is None:
        raise WhatIfRefused(
            "no_rule",
            f"version {in_force.version} of program {in_force.program.program_id} has no settlement rule; give one to "
            "compare with",
        )
    basis = in_force.basis(agreed)
    steps = None if again is None else _steps(again, basis, question.without)
    hypothetical = altered(basis, Alteration(rule=rule, steps=steps, without=question.without))
    program = ProgramInputs(
        program_id=in_force.program.program_id,
        version=in_force.version,
        baseline=in_force.terms.baseline,
        settlement=agreed,
    )
    found = compared(basis if own_rule is not None else None, hypothetical, program)
    return SettlementWhatIf(
        **msgspec.structs.asdict(found),
        dr_event_id=document.dr_event_id,
        utility_event_id=document.utility_event_id,
        program_id=program.program_id,
        program_version=in_force.version,
        revision=in_force.revision,
        as_of=document.as_of,
        position=document.position,
        alteration=AlterationSummary(
            rule=_rule_text(question.rule), baseline=question.baseline, without=question.without
        ),
        measured_again={
            name: converted(one.result, FacilityMeasuredAgain, from_attributes=True)
            for name, one in sorted((again or {}).items())
        },
    )


def _rule(in_force: SettlementInForce, asked: RuleQuestion) -> SettlementRule | None:
    if asked.given is not None:
        return asked.given
    if asked.programme is not None:
        shipped = shipped_programmes()
        if asked.programme not in shipped:
            raise WhatIfRefused(
                "unknown_programme",
                f"there is no programme {asked.programme[:100]!r}; there are {', '.join(shipped)}",
            )
        return shipped[asked.programme]
    if asked.program_version is None:
        return None
    program = in_force.program
    terms = program.versions.get(asked.program_version)
    if terms is None:
        raise WhatIfRefused(
            "unknown_version",
            f"program {program.program_id} has no version {asked.program_version}; the newest is {program.version}",
        )
    if terms.settlement is None:
        raise WhatIfRefused(
            "no_rule",
            f"version {asked.program_version} of program {program.program_id} has no settlement rule",
        )
    return terms.settlement


def _rule_text(asked: RuleQuestion) -> str | None:
    if asked.program_version is not None:
        return f"version {asked.program_version}"
    return asked.programme if asked.given is None else "given"


def _steps(again: Mapping[str, MeasuredAgain], basis: Basis, without: Sequence[str]) -> Steps:
    """The steps by the other baseline. Raises WhatIfRefused where readings of a facility that stays are gone."""
    again = {name: one for name, one in again.items() if name not in without}
    gone = sorted(name for name, one in again.items() if one.readings_gone)
    if gone:
        more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
        raise WhatIfRefused(
            "readings_gone",
            f"readings that the measurements of {', '.join(gone[:MOST_NAMED])}{more} used are not stored any more, so "
            "that another baseline would be computed from others; restore them from the raw archive, or leave these "
            "facilities out",
        )
    return {
        name: _measured_steps(one.figures, basis) if one.figures is not None else _unmeasured(name, basis)
        for name, one in again.items()
    }


def _measured_steps(figures: MeasurementFigures, basis: Basis) -> list[MeteringStep]:
    rounding = rounding_of(basis.rule)
    return [
        MeteringStep(
            starts_at=one.starts_at,
            adjusted_kw=step_kw(one.adjusted_kw, rounding),
            metered_kw=step_kw(one.metered_kw, rounding),
        )
        for one in figures.intervals
    ]


def _unmeasured(facility_id: str, basis: Basis) -> list[MeteringStep]:
    """Metered, without a baseline."""
    return [msgspec.structs.replace(one, adjusted_kw=None) for one in basis.steps.get(facility_id, ())]
