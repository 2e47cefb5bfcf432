"""How commands print: one JSON document for programs, a table for people, progress on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
import msgspec

PIPE_WIDTH = 200


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; where that is no terminal, no cell is cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(written(cell)) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """`name  value` lines on stdout."""
    shown = [(name, written(value)) for name, value in fields]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")


def written(value: object) -> str:
    """A value as people read it: times to the second, kW to a tenth, nothing as a dash."""
    match value:
        case None | "" | ():
            return "-"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%SZ")
        case float():
            return f"{value:,.1f}"
        case tuple() | list():
            return ", ".join(map(written, value))
    return str(value)


@contextmanager
def progress_of(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Gives a function to be told how many are done: a bar on a terminal, about ten plain lines elsewhere."""
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
    every, told = max(1, total // 10), 0

    def tell(done: int) -> None:
        nonlocal told
        if done // every > told // every or done == total != told:
            click.echo(f"{what}: {done} of {total}", err=True)
        told = done

    yield tell
