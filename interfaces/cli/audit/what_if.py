"""`gridproof audit what-if`: folds a DR event again with changed inputs and compares the result with the record."""

from pathlib import Path
from typing import TYPE_CHECKING, get_args
from uuid import UUID

import click
import msgspec

from application.settlement.offline_files import SettlementRefused, read_rules
from application.settlement.programmes import shipped_programmes
from application.settlement.what_if import WhatIfRefused
from domain.allocation.proportional_split import RULES, AllocationRule
from domain.baseline import METHODS
from domain.errors import NotAllowedNow
from domain.program import BaselineTerms
from interfaces.cli.audit.what_if_report import (
    NoAmounts,
    WhatIfDocument,
    print_amounts,
    print_no_amounts,
    print_power,
)
from interfaces.cli.baseline.inputs import method_options, parameters_of, rule_of
from interfaces.cli.console.parameter_types import as_of
from interfaces.cli.console.printing import print_json, progress_of
from interfaces.cli.console.session import running_settings
from interfaces.what_if.in_force import settlement_in_force
from interfaces.what_if.remeasuring import MeasuredAgain, MeasuringSources, measured_again, was_curtailed
from interfaces.what_if.settlement import (
    MOST_RULE_BYTES,
    RuleQuestion,
    SettlementQuestion,
    SettlementWhatIf,
    answer,
)
from projections.as_of.what_if_document import Change, Policy

if TYPE_CHECKING:
    from interfaces.bootstrap.offline import History
    from projections.audit.replay import AuditDocument
    from projections.audit.stream_log import AsOf

EXAMPLE = """
\b
Examples:
  gridproof audit what-if UTIL-2026-0042 --rule rule.json
  gridproof audit what-if UTIL-2026-0042 --program-version 4
  gridproof audit what-if UTIL-2026-0042 --baseline high-4-of-5
  gridproof audit what-if UTIL-2026-0042 --without fac-007
  gridproof audit what-if UTIL-2026-0042 --policy reallocate
  gridproof audit what-if UTIL-2026-0042 --target-kw 900 --allocation largest-first --json

It reads the log and writes nothing. In kW: headrooms are those of the plan; who failed fails again, before the window;
who served delivers the recorded share of whatever its target is then. In money: another rule, another baseline, or
without a facility, beside the settlement in force; all else stays, the others' commitments and meters too. Another
baseline is computed on the readings as they are now, with the recorded holidays and event days: the log holds only the
load that the recorded method used. The options of methods below are those of `baseline compute`.
"""
NOT_METERED = NoAmounts(
    code="not_metered",
    detail="amounts follow from what was metered; --target-kw, --allocation and --policy change what never was",
)


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
@click.option(
    "--rule",
    "rule_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settle by the rule of this file, a rule or a program.json.",
)
@click.option(
    "--program-version", type=click.IntRange(min=1), metavar="N", help="Settle by this version's rule."
)
@click.option(
    "--programme", metavar="NAME", help="Settle by the rule of a shipped programme, such as pge-cbp."
)
@click.option("--baseline", type=click.Choice(list(METHODS)), help="Measure by another baseline.")
@method_options
@click.option("--as-of", "past", metavar="TIME|N", type=as_of, help="Of the DR event as it stood then.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def what_if_command(
    *,
    reference: str,
    without: tuple[str, ...],
    target_kw: float | None,
    allocation: AllocationRule | None,
    policy: Policy | None,
    rule_file: Path | None,
    program_version: int | None,
    programme: str | None,
    baseline: str | None,
    past: "AsOf | None",
    as_json: bool,
    **parameters: object,
) -> None:
    """Recorded and hypothetical side by side, in kW and in money; nothing is written."""
    change = Change(
        without=tuple(sorted(set(without))),
        target_kw=target_kw,
        allocation=allocation,
        policy=policy,
        baseline=baseline,
    )
    question = SettlementQuestion(
        rule=_rule_question(rule_file, program_version, programme),
        baseline=None if baseline is None else _baseline(baseline, parameters),
        without=change.without,
    )
    _check(change, question)
    found = _answer(reference, change, question, past)
    if as_json:
        print_json(found)
        return
    if change != Change():
        print_power(found)
    if found.settlement is not None:
        print_amounts(found.settlement)
    if found.no_amounts is not None:
        print_no_amounts(found.no_amounts)


def _baseline(method: str, parameters: dict[str, object]) -> BaselineTerms:
    """Raises click.UsageError. Facilities may have a firm level of their own."""
    rule_of(method, parameters | {"level_kw": parameters["level_kw"] or 0.0})
    return BaselineTerms(method=method, parameters=parameters_of(parameters))


def _rule_question(
    rule_file: Path | None, program_version: int | None, programme: str | None
) -> RuleQuestion:
    if sum(one is not None for one in (rule_file, program_version, programme)) > 1:
        raise click.UsageError("give one of --rule, --program-version, --programme")
    if programme is not None and programme not in shipped_programmes():
        raise click.UsageError(f"there is no programme {programme!r}; use {', '.join(shipped_programmes())}")
    if rule_file is None:
        return RuleQuestion(program_version=program_version, programme=programme)
    with rule_file.open("rb") as opened:
        content = opened.read(MOST_RULE_BYTES + 1)
    if len(content) > MOST_RULE_BYTES:
        raise click.UsageError(f"--rule: the file has more than {MOST_RULE_BYTES} bytes")
    try:
        rules = read_rules(content)
    except SettlementRefused as error:
        raise click.UsageError(
            f"--rule: {error.detail}; `gridproof settlement rules check` says more"
        ) from error
    if len(rules) != 1:
        raise click.UsageError("--rule: the file holds several programmes; give a file with one rule")
    return RuleQuestion(given=next(iter(rules.values())))


def _check(change: Change, question: SettlementQuestion) -> None:
    if change == Change() and question.rule.is_none:
        raise click.UsageError(
            "say what is to be different: --without, --target-kw, --allocation, --policy, --baseline, --rule, "
            "--program-version, --programme"
        )
    if _changes_the_plan(change) and not question.rule.is_none:
        raise click.UsageError(f"another rule cannot be combined with another plan: {NOT_METERED.detail}")


def _changes_the_plan(change: Change) -> bool:
    """Beyond a facility that is left out."""
    return change.target_kw is not None or change.allocation is not None or change.policy is not None


def _answer(
    reference: str, change: Change, question: SettlementQuestion, past: "AsOf | None"
) -> WhatIfDocument:
    from interfaces.bootstrap.offline import opened_history
    from projections.as_of.what_if import what_if
    from projections.audit.replay import audit_document, resolve_dr_event

    with opened_history(running_settings()) as history:
        dr_event_id = resolve_dr_event(history.log, reference)
        document = audit_document(history.log, dr_event_id, as_of=past)
        again = None if question.baseline is None else _measured_again(question.baseline, document, history)
        remeasured = None
        if again is not None:
            remeasured = {
                name: one.result for name, one in again.items() if document.dispatches[name].failure is None
            }
        power = what_if(document, change, remeasured=remeasured)
        if _changes_the_plan(change):
            return WhatIfDocument(**msgspec.structs.asdict(power), settlement=None, no_amounts=NOT_METERED)
        settlement, no_amounts = _amounts(history, dr_event_id, question, again, past)
    return WhatIfDocument(**msgspec.structs.asdict(power), settlement=settlement, no_amounts=no_amounts)


def _measured_again(
    baseline: BaselineTerms, document: "AuditDocument", history: "History"
) -> dict[str, MeasuredAgain]:
    sources = MeasuringSources(history.telemetry, history.public_holidays, history.regression)
    total, done = sum(map(was_curtailed, document.dispatches.values())), 0
    with progress_of(total, "measuring again") as show:

        def on_facility() -> None:
            nonlocal done
            done += 1
            show(done)

        return measured_again(baseline, document, history.log, sources, on_facility=on_facility)


def _amounts(
    history: "History",
    dr_event_id: UUID,
    question: SettlementQuestion,
    again: dict[str, MeasuredAgain] | None,
    past: "AsOf | None",
) -> tuple[SettlementWhatIf | None, NoAmounts | None]:
    """Without another rule the answer in kW stands where there is none in money. Raises WhatIfRefused or NotAllowedNow
    with another rule."""
    try:
        return answer(settlement_in_force(history.log, dr_event_id, past), question, again), None
    except (WhatIfRefused, NotAllowedNow) as error:
        if not question.rule.is_none:
            raise
        return None, NoAmounts(code=error.code, detail=str(error))
