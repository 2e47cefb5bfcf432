"""`gridproof telemetry archive show`: the message of a meter as it was sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_fields, print_json, print_table
from interfaces.cli.console.session import current_settings

if TYPE_CHECKING:
    from application.raw_archive.original_messages import OriginalMessage, OriginalsReport

SHOW_EXAMPLE = """
\b
Examples:
  gridproof telemetry archive show --facility fac-001 --meter main --at 2026-07-14T21:00:00Z
  gridproof telemetry archive show --facility fac-001 --meter main --at 2026-07-14T21:00:00Z --out original.json

Shows the messages that hold readings of the meter in the 15 s from --at on, as they were sent, and what was read from
them. --out writes the bytes of the only one. No running system is needed. Exit status 3: there is none, because
GRIDPROOF_TELEMETRY_ORIGINALS was off, or meters sent more than is kept.
"""
NONE_FOUND = 3


@click.command("show", epilog=SHOW_EXAMPLE)
@click.option("--facility", "facility_id", required=True, metavar="ID", help="The facility.")
@click.option("--meter", "meter_id", required=True, metavar="ID", help="The meter.")
@click.option("--at", required=True, type=moment, metavar="T", help="Measured at T or later; ISO 8601.")
@click.option(
    "--within",
    "within_s",
    type=click.IntRange(1, 3_600),
    default=15,
    show_default=True,
    metavar="S",
    help="So many seconds of it.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the message to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(
    facility_id: str, meter_id: str, at: datetime, within_s: int, out: Path | None, *, as_json: bool
) -> None:
    """The message of a meter as it was sent, and the readings that were stored from it."""
    from application.raw_archive.original_messages import find_originals
    from interfaces.bootstrap import raw_archive

    archive = raw_archive(current_settings())
    found = find_originals(archive, facility_id, meter_id, at, at + timedelta(seconds=within_s))
    if out is not None:
        _write(found, out)
    if as_json:
        print_json(
            {"messages": [_document(one) for one in found.messages], "packs_without": found.packs_without}
        )
    else:
        for one in found.messages:
            _print(one)
    if not found.messages:
        reason = (
            "its readings were archived without the message"
            if found.packs_without
            else "nothing of it is archived"
        )
        click.echo(f"{facility_id}, meter {meter_id} at {at:%Y-%m-%d %H:%M:%S}Z: {reason}", err=True)
        raise click.exceptions.Exit(NONE_FOUND)


def _write(found: OriginalsReport, out: Path) -> None:
    if len(found.messages) > 1:
        raise click.UsageError(
            f"{len(found.messages)} messages were found; choose one by --at and a shorter --within"
        )
    for one in found.messages:
        try:
            out.write_bytes(one.payload)
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error.strerror}") from error


def _document(one: OriginalMessage) -> dict[str, object]:
    return {
        "topic": one.topic,
        "received_at": one.received_at,
        "payload": one.payload.decode(errors="replace"),
        "sha256": one.sha256,
        "object": one.object,
        "stream_seq": one.stream_seq,
        "decoded": [_reading(reading) for reading in one.decoded],
    }


def _reading(reading: object) -> dict[str, object]:
    names = ("meter_id", "ts", "kw", "kwh_total", "seq", "quality", "revision", "incomplete")
    return {name: getattr(reading, name) for name in names}


def _print(one: OriginalMessage) -> None:
    print_fields(
        [
            ("topic", one.topic),
            ("received at", one.received_at),
            ("object", one.object),
            ("sequence", one.stream_seq),
            ("sha256", one.sha256),
            ("bytes", len(one.payload)),
        ]
    )
    click.echo(one.payload.decode(errors="replace"))
    if one.decoded:
        rows = [_reading(reading) for reading in one.decoded]
        print_table(list(rows[0]), [list(row.values()) for row in rows])
