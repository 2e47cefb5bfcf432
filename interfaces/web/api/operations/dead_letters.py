"""Routes of dead letters: failed work, which a person replays or discards."""

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from application.operations.dead_letter_decisions import discard
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterCursor,
    DeadLetterQueue,
    DeadLetterStatus,
)
from interfaces.web.api.dr_event.controller import Text
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem
from interfaces.web.requests.command_context import actor_of
from interfaces.web.requests.paging import Cursor, Limit, Place, newest_of, place_of
from interfaces.web.route_policy import OPERATOR, RoutePolicy
from projections.engine.cursors import invalid_cursor

LISTED = "dead_letters"
MOST_BODY_CHARACTERS = 20_000


class DecisionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text


class DeadLetterDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter; `body` is its message as text, cut if it is long, and null in lists."""

    dead_letter_id: UUID
    queue: str
    subject: str
    reason: str
    parked_at: datetime
    status: str
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    body: str | None = None


class DeadLetterController(Controller):
    path = "/api/dead-letters"
    tags = ("operations",)

    @get(
        "/",
        summary="The newest first",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def listed(
        self,
        web: Web,
        queue: FromQuery[DeadLetterQueue | None] = None,
        status: FromQuery[DeadLetterStatus] = "open",
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Listing[DeadLetterDocument]:
        found = await asyncio.to_thread(
            web.dead_letters.listed,
            queue=queue,
            status=status,
            limit=limit + 1,
            after=_place_of(cursor),
        )
        letters, following = newest_of(
            LISTED, found, limit, lambda letter: Place(letter.parked_at, str(letter.dead_letter_id))
        )
        return Listing(items=tuple(map(_document, letters)), next_cursor=following)

    @get(
        "/{dead_letter_id:uuid}",
        summary="One dead letter with its body",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def one(self, web: Web, dead_letter_id: FromPath[UUID]) -> DeadLetterDocument:
        letter = await asyncio.to_thread(web.dead_letters.get, dead_letter_id)
        text = letter.body.decode("utf-8", errors="replace")[:MOST_BODY_CHARACTERS]
        return msgspec.structs.replace(_document(letter), body=text)

    @post(
        "/{dead_letter_id:uuid}/discard",
        status_code=200,
        summary="Discard it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def discard(
        self, request: ApiRequest, web: Web, dead_letter_id: FromPath[UUID], data: JSONBody[DecisionBody]
    ) -> DeadLetterDocument:
        decided = await asyncio.to_thread(
            discard,
            dead_letter_id,
            web.dead_letters,
            by=actor_of(request),
            reason=data.reason,
            at=web.decision_clock.now(),
        )
        return _document(decided)

    @post(
        "/{dead_letter_id:uuid}/replay",
        status_code=200,
        summary="Replay it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def replay(
        self, request: ApiRequest, web: Web, dead_letter_id: FromPath[UUID], data: JSONBody[DecisionBody]
    ) -> DeadLetterDocument:
        """Hands the work to its worker again; the status is `replayed` then."""
        if web.dead_letter_replay is None:
            raise Problem("not-built-yet", "replay it with `gridproof dead-letters replay`")
        letter = await web.dead_letter_replay.replay(dead_letter_id, by=actor_of(request), reason=data.reason)
        return _document(letter)


def _place_of(cursor: str | None) -> DeadLetterCursor | None:
    """Raises InvalidCursor."""
    place = place_of(LISTED, cursor)
    if place is None:
        return None
    try:
        return DeadLetterCursor(place.at, UUID(place.key))
    except ValueError as error:
        raise invalid_cursor() from error


def _document(letter: DeadLetter) -> DeadLetterDocument:
    fields = {name: getattr(letter, name) for name in DeadLetterDocument.__struct_fields__ if name != "body"}
    return DeadLetterDocument(**fields)
