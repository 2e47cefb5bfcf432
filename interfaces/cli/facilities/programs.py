"""`gridproof programs`: the terms of each program, every version of them, and who agreed it."""

import json
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.parameter_types import lists_as_of
from interfaces.cli.console.printing import print_answer, print_fields, print_list, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from interfaces.bootstrap import Stores
    from interfaces.programs import ProgramHistoryDocument
    from projections.audit.stream_log import AsOf
    from projections.program import ProgramRow
    from projections.queries.memory_view import MemoryView

LIST_EXAMPLE = """
\b
Examples:
  gridproof programs list
  gridproof programs list --utility city-power --json
  gridproof programs list --as-of 2026-07-14T21:30:00Z
"""
SHOW_EXAMPLE = """
\b
Examples:
  gridproof programs show summer-peak
  gridproof programs show summer-peak --version 2
  gridproof programs show summer-peak --json

A DR event keeps the version that it was accepted under (`gridproof dr-events show`). Who is behind an id: `gridproof
keys list`, `gridproof keys operators`. The fields are explained in docs/guides/portfolio.md.
"""


@click.group("programs", epilog=LIST_EXAMPLE)
def programs_group() -> None:
    """Contracts with utilities: terms, versions, and who changed them. A portfolio file changes them."""


@programs_group.command("list", epilog=LIST_EXAMPLE)
@lists_as_of
@click.option("--utility", metavar="ID", help="Only those of that utility.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_programs(past: "AsOf | None", utility: str | None, as_json: bool) -> None:
    """Every program with the version of its terms that is in force."""
    from interfaces.programs import program_document
    from projections.queries.views import all_rows

    with opened_stores() as stores:
        filters = {} if utility is None else {"utility_id": utility}
        programs = [program_document(row) for row in all_rows(_programs(stores, past), **filters)]
    print_list(
        {"programs": programs},
        ["program", "utility", "version", "agreed at", "by", "rank", "baseline", "guardrail", "settled"],
        [
            (
                one.program_id,
                one.utility_id,
                one.version,
                one.agreed_at,
                one.agreed_by,
                one.terms.rank,
                one.terms.baseline.method,
                one.terms.forecast_guardrail,
                "no" if one.terms.settlement is None else one.terms.settlement.currency,
            )
            for one in programs
        ],
        if_empty="no programs; name some in a portfolio, and `gridproof facilities import FILE`",
        as_json=as_json,
    )


@programs_group.command("show", epilog=SHOW_EXAMPLE)
@click.argument("program_id", metavar="ID")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="The terms of that version.")
@lists_as_of
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all versions.")
def show(*, program_id: str, version: int | None, past: "AsOf | None", as_json: bool) -> None:
    """The terms of a program, and every version of them: when, by whom, and what changed."""
    from interfaces.programs import program_history
    from projections.program import key_of

    with opened_stores() as stores:
        row = _programs(stores, past).get(key_of(program_id))
    if row is None:
        raise click.ClickException(f"no program {program_id} (then); see `gridproof programs list`")
    history = program_history(row)
    if version is not None and version not in {one.version for one in history.versions}:
        raise click.ClickException(f"{program_id} has the versions 1 to {history.version}")
    print_answer(history, lambda: _print(history, version or history.version), as_json=as_json)


def _programs(stores: "Stores", past: "AsOf | None") -> "MemoryView[ProgramRow]":
    from projections.as_of.lists import HistoricalLists

    return HistoricalLists(stores.stream_log()).programs(past).rows


def _print(history: "ProgramHistoryDocument", version: int) -> None:
    import msgspec

    chosen = next(one for one in history.versions if one.version == version)
    print_fields(
        [
            ("program", history.program_id),
            ("utility", history.utility_id),
            ("version", f"{version}{'' if version == history.version else f' of {history.version}'}"),
            ("agreed at", chosen.agreed_at),
            ("agreed by", chosen.agreed_by),
        ]
    )
    click.echo()
    print_fields((name, _value(value)) for name, value in msgspec.to_builtins(chosen.terms).items())
    if len(history.versions) > 1:
        click.echo()
        print_table(
            ["version", "agreed at", "by", "position", "changed"],
            (
                [
                    one.version,
                    one.agreed_at,
                    one.agreed_by,
                    one.position,
                    "\n".join(
                        f"{change.member}: {_value(change.before)} -> {_value(change.after)}"
                        for change in one.changes
                    ),
                ]
                for one in history.versions
            ),
        )


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
