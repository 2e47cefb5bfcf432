"""`gridproof dead-letters`: lists failed work and replays or discards it."""

import asyncio
from base64 import b64encode
from datetime import datetime
from typing import get_args
from uuid import UUID

import click

from application.operations import dead_letter_decisions as desk
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetterStatus
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_fields, print_list
from interfaces.cli.console.session import opened_stores, operator
from interfaces.cli.console.tables import Column

LIST_EXAMPLE = """
\b
Examples:
  gridproof dead-letters list
  gridproof dead-letters list --queue callback --status all --json
"""
SHOW_EXAMPLE = """
\b
Example:
  gridproof dead-letters show 0c9b4c8e-6f0f-5a3e-9a41-3a1f7f1f7a10
"""
REPLAY_EXAMPLE = """
\b
Example:
  gridproof dead-letters replay 0c9b4c8e-6f0f-5a3e-9a41-3a1f7f1f7a10 --reason "their server is back"
  gridproof dead-letters replay --listed-meters --reason "the new meters are in the portfolio now"

A BMS command or callback keeps its id, so that whoever had it already recognises it.
"""
DISCARD_EXAMPLE = """
\b
Example:
  gridproof dead-letters discard 0c9b4c8e-6f0f-5a3e-9a41-3a1f7f1f7a10 --reason "told them by phone"
  gridproof dead-letters discard --queue meter_message --parked-before 2026-07-14T00:00:00Z --reason "a wrong gateway"

Nothing is deleted: each letter stays, with who decided and why, and each decision is an act of its own.
"""
MOST_BODY_CHARACTERS = 20_000


@click.group("dead-letters", epilog=LIST_EXAMPLE)
def dead_letters_group() -> None:
    """Work that could not be done, kept with its reason until a person decides."""


@dead_letters_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--queue", type=click.Choice(get_args(DeadLetterQueue)), help="Only of this kind of work.")
@click.option(
    "--status",
    type=click.Choice([*get_args(DeadLetterStatus), "all"]),
    default="open",
    show_default=True,
    help="Only those so decided.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_letters(
    queue: DeadLetterQueue | None, status: DeadLetterStatus | str, limit: int, as_json: bool
) -> None:
    """The newest first."""
    wanted = next((known for known in get_args(DeadLetterStatus) if known == status), None)
    with opened_stores() as stores:
        letters = stores.dead_letters().listed(queue=queue, status=wanted, limit=limit)
    print_list(
        {"dead_letters": [_document(letter) for letter in letters]},
        [Column("id", "id"), "queue", "reason", "subject", "parked at", "status"],
        [(x.dead_letter_id, x.queue, x.reason, x.subject, x.parked_at, x.status) for x in letters],
        if_empty="no dead letters" if wanted is None else f"no dead letters are {wanted}",
        as_json=as_json,
    )


@dead_letters_group.command("show", epilog=SHOW_EXAMPLE)
@click.argument("dead_letter_id", type=click.UUID, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(dead_letter_id: UUID, as_json: bool) -> None:
    """A dead letter, with its body as text."""
    with opened_stores() as stores:
        letter = stores.dead_letters().get(dead_letter_id)
    _print(letter, as_json=as_json, with_body=True)


@dead_letters_group.command("replay", epilog=REPLAY_EXAMPLE)
@click.argument("dead_letter_id", type=click.UUID, metavar="[ID]", required=False)
@click.option(
    "--listed-meters", is_flag=True, help="Instead: all of unknown meters that the portfolio lists by now."
)
@click.option("--reason", default="replayed by hand", show_default=True, help="Why; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def replay(dead_letter_id: UUID | None, *, listed_meters: bool, reason: str, as_json: bool) -> None:
    """Have the work done again, then record the decision. What can no longer be replayed says so."""
    from interfaces.bootstrap.operations import dead_letter_replay

    if listed_meters == (dead_letter_id is not None):
        raise click.UsageError("give the ID of a dead letter, or --listed-meters")
    with opened_stores() as stores:
        replaying, by = dead_letter_replay(stores), operator(stores)
        if dead_letter_id is not None:
            letter = asyncio.run(replaying.replay(dead_letter_id, by=by, reason=reason))
            _print(letter, as_json=as_json)
            return
        count = asyncio.run(replaying.replay_listed_meters(by=by, reason=reason))
    print_answer({"replayed": count}, lambda: click.echo(f"{count} replayed"), as_json=as_json)


@dead_letters_group.command("discard", epilog=DISCARD_EXAMPLE)
@click.argument("dead_letter_id", type=click.UUID, metavar="[ID]", required=False)
@click.option("--queue", type=click.Choice(get_args(DeadLetterQueue)), help="Instead: all open ones of it.")
@click.option(
    "--parked-before", type=moment, metavar="TIME", help="Of --queue, only those (ISO 8601 with offset)."
)
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def discard(
    dead_letter_id: UUID | None,
    *,
    queue: DeadLetterQueue | None,
    parked_before: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Decide that the work is not done any more."""
    if (queue is None) == (dead_letter_id is None) or (parked_before is not None and queue is None):
        raise click.UsageError("give the ID of a dead letter, or --queue and perhaps --parked-before")
    with opened_stores() as stores:
        letters = stores.dead_letters()
        by, at = operator(stores), stores.decision_clock.now()
        if dead_letter_id is not None:
            letter = desk.discard(dead_letter_id, letters, by=by, reason=reason, at=at)
            _print(letter, as_json=as_json)
            return
        assert queue is not None  # noqa: S101 - as checked
        count = desk.discard_queue(queue, letters, parked_by=parked_before, by=by, reason=reason, at=at)
    print_answer({"discarded": count}, lambda: click.echo(f"{count} discarded"), as_json=as_json)


def _document(letter: DeadLetter, *, with_body: bool = False) -> dict[str, object]:
    document = {name: getattr(letter, name) for name in letter.__struct_fields__ if name != "body"}
    return document | (_body(letter) if with_body else {})


def _body(letter: DeadLetter) -> dict[str, str]:
    """The body as text. A body that is not text is also included unchanged."""
    try:
        letter.body.decode()
    except UnicodeDecodeError:
        return {"body": _text(letter), "body_base64": b64encode(letter.body).decode()}
    return {"body": _text(letter)}


def _text(letter: DeadLetter) -> str:
    return letter.body.decode("utf-8", errors="replace")[:MOST_BODY_CHARACTERS]


def _print(letter: DeadLetter, *, as_json: bool, with_body: bool = False) -> None:
    document = _document(letter, with_body=with_body)
    print_answer(
        document,
        lambda: print_fields((name.replace("_", " "), value) for name, value in document.items()),
        as_json=as_json,
    )
