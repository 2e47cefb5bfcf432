"""Output of commands: JSON for programs, tables for people, progress on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unicodedata import category

import click
import msgspec
import orjson

from interfaces.cli.console.tables import Column, Layout

PIPE_WIDTH = 200
CONTROLS = frozenset({"Cc", "Cf"})
"""The Unicode categories of control characters, and of those that change the direction of text."""


def print_json(document: Any) -> None:
    """An indented JSON document on stdout."""
    click.echo(orjson.dumps(msgspec.to_builtins(document, str_keys=True), option=orjson.OPT_INDENT_2))


def print_answer(document: Any, for_people: Callable[[], None], *, as_json: bool) -> None:
    """Print the document with `--json`; without it call `for_people`, which prints the same for people."""
    if as_json:
        print_json(document)
    else:
        for_people()


def print_list(
    document: Any,
    columns: Sequence[str | Column],
    rows: Sequence[Sequence[object]],
    *,
    if_empty: str,
    as_json: bool,
) -> None:
    """Print the document with `--json`; without it a table of the same list, or `if_empty` if it has no rows."""
    if as_json:
        print_json(document)
    elif rows:
        print_table(columns, rows)
    else:
        click.echo(if_empty)


def print_json_line(document: Any) -> None:
    """A JSON document on stdout, on one line."""
    click.echo(json_line(document), nl=False)


def json_line(document: Any) -> bytes:
    """The JSON of a msgspec struct or of builtins, with a newline at the end."""
    return orjson.dumps(msgspec.to_builtins(document, str_keys=True), option=orjson.OPT_APPEND_NEWLINE)


def print_table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout. On a terminal columns are left out before an id breaks; which, stands on stderr."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titles = [column if isinstance(column, Column) else Column(column) for column in columns]
    layout, left_out = Layout(titles, [[written(cell) for cell in row] for row in rows]), list[str]()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    widths: list[int | None] = [None] * len(titles)
    if sys.stdout.isatty():
        layout, left_out = layout.fitted(console.width)
        widths = [*layout.widths(console.width)]
        console.width = max(
            console.width, layout.width
        )  # an id that is wider goes on in the next line, uncut
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, width in zip(layout.columns, widths, strict=True):
        table.add_column(column.title, overflow="fold", width=width, no_wrap=column.kind != "text")
    for row in layout.rows:
        table.add_row(*map(Text, row))
    console.print(table)
    if left_out:
        click.echo(f"no room for {', '.join(left_out)}; a wider terminal or --json shows it", err=True)


def printable(text: str) -> str:
    """Text of a file that somebody else wrote, on one line and without control characters: it must not print lines of
    its own, or hide those that follow."""
    return "".join(c if c.isprintable() else "?" for c in text)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """`name  value` lines on stdout."""
    shown = [(name, written(value)) for name, value in fields]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")


def written(value: object) -> str:
    """Format a value for people: times to the second, floats to one decimal, missing values as a dash. Text may be that
    of a tenant or a building: its control characters must not reach the terminal."""
    match value:
        case None | "" | ():
            return "-"
        case dict():
            return ", ".join(f"{name}: {written(one)}" for name, one in value.items()) or "-"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%SZ")
        case float():
            return f"{value:,.1f}"
        case tuple() | list():
            return ", ".join(map(written, value))
    return "".join(c if c == "\n" or category(c) not in CONTROLS else "?" for c in str(value))


def counted(count: int, one: str, more: str) -> str:
    """`1 facility`, `2 facilities`."""
    return f"{count} {one if count == 1 else more}"


def name_unresolved(references: Sequence[str]) -> None:
    """Say on stderr which secrets this process does not have, and who needs them."""
    from interfaces.bootstrap import UNRESOLVED_ADVICE

    for named in references:
        click.echo(f"a secret is not there: {named}", err=True)
    if references:
        click.echo(UNRESOLVED_ADVICE, err=True)


@contextmanager
def progress_of(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the number done. Shows a bar on a terminal, about ten lines elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}/s"),
            TimeRemainingColumn(),
        )
        began = time.monotonic()
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(what, total=total, rate="-")

            def show(done: int) -> None:
                rate = done / max(time.monotonic() - began, 1e-3)
                progress.update(task, completed=done, rate=f"{rate:,.0f}")

            yield show
        return
    every, printed = max(1, total // 10), 0

    def print_progress(done: int) -> None:
        nonlocal printed
        if done // every > printed // every or done == total != printed:
            click.echo(f"{what}: {done} of {total}", err=True)
        printed = done

    yield print_progress
