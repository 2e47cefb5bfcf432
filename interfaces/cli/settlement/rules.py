"""`gridproof settlement rules`: checks a settlement rule, and says what it means."""

from pathlib import Path
from typing import Any

import click
import msgspec

from application.settlement.offline_files import MOST_BYTES, SettlementRefused, read_rules
from application.settlement.rule_example import IN_WORDS, example_month, example_of
from application.settlement.rule_words import words_of
from application.settlement.shapes import PeriodDocument, SettlementDocument
from domain.program import SettlementRule
from interfaces.cli.console.printing import counted, print_json, print_table, printable

EXAMPLE = """
\b
Examples:
  gridproof settlement rules check rule.json
  gridproof settlement rules check program.json --json

FILE is a rule, a program.json, or an object of programs by name. Exit status: 0 a rule that can be settled by, 3 one
that is wrong.
"""
WRONG = 3
MOST_KINDS = 10
"""Shown in the example."""


class ExampleOfKind(msgspec.Struct, frozen=True, kw_only=True):
    """The worked example for one kind of DR event."""

    kind: str
    settlement: SettlementDocument


class CheckedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that can be settled by, in words and by example."""

    program: str
    words: list[str]
    example: str
    kinds: list[ExampleOfKind]
    month: PeriodDocument


@click.group("rules")
def rules_group() -> None:
    """Settlement rules: how measured kW become money."""


@rules_group.command("check", epilog=EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(context: click.Context, *, file: Path, as_json: bool) -> None:
    """Check a rule, and say in plain words what it means, with a worked example."""
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    try:
        rules = read_rules(content)
    except SettlementRefused as error:
        _print_problems(error, as_json=as_json)
        context.exit(WRONG)
    found = [checked_rule(name, rule) for name, rule in rules.items()]
    if as_json:
        print_json({"valid": True, "problems": [], "rules": found})
        return
    for one in found:
        _print_rule(one)


def checked_rule(name: str, rule: SettlementRule) -> CheckedRule:
    kinds = ["event", *(kind for kind in rule.kinds if kind != "event")][:MOST_KINDS]
    return CheckedRule(
        program=name,
        words=words_of(rule),
        example=IN_WORDS,
        kinds=[ExampleOfKind(kind=kind, settlement=example_of(rule, kind)) for kind in kinds],
        month=example_month(rule),
    )


def _print_problems(error: SettlementRefused, *, as_json: bool) -> None:
    problems: list[Any] = list(error.problems or [error.detail])
    if as_json:
        print_json({"valid": False, "problems": problems, "rules": []})
        return
    click.echo(f"The rule has {counted(len(problems), 'problem', 'problems')}; to correct:", err=True)
    for problem in problems:
        click.echo(f"  - {printable(problem)}", err=True)


def _print_rule(found: CheckedRule) -> None:
    if found.program:
        click.echo(f"{printable(found.program)}:")
    for words in found.words:
        click.echo(f"  {printable(words)}")
    click.echo(f"\nExample: {found.example}.")
    print_table(
        ["kind", "unit", "component", "formula", "amount"],
        [
            row
            for one in found.kinds
            for row in [
                *(
                    (printable(one.kind), line.unit, line.component, line.formula, line.amount)
                    for line in one.settlement.lines
                ),
                (
                    printable(one.kind),
                    "",
                    "total",
                    f"performance {one.settlement.performance}",
                    one.settlement.total,
                ),
            ]
        ],
    )
    for line in found.month.lines:
        click.echo(f"{found.month.period}: {line.unit} {line.formula} = {line.amount} {found.month.currency}")
    click.echo()
