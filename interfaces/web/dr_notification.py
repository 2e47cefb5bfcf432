"""The webhook of utilities: post a DR event, or cancel it.

Refusals are ordered from cheap to dear, so that a flood costs little: declared size, key, role, rate (all before
the body is read, see access.py), size as read, signature, media type, body, callback address, queue; then the
bus judges. Nothing is stored of what was refused before the bus.
"""

import asyncio
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, patch, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from application.commands.dr_event import CancelDREvent, Cancellation, Judgement, JudgeNotification
from application.deciding import IdempotencyKey
from domain.identifiers import dr_event_id
from interfaces.web.access import WEBHOOK, ApiRequest, body_too_large, check_is_json
from interfaces.web.callback_address import refusal_of
from interfaces.web.collaborators import WebCollaborators, collaborators_of
from interfaces.web.command_context import context_of
from interfaces.web.notification_body import Notification, decode_notification
from interfaces.web.notification_schema import NotificationOperation
from interfaces.web.problems import Problem, ProblemReason, try_again
from interfaces.web.signature import SIGNATURE_HEADER, check_signature

ROUTE = f"POST {WEBHOOK}"
MAX_KEY_LENGTH = 200
BODY_DEADLINE_S = 10.0
"""Wall seconds: a caller that dribbles holds a connection no longer."""
SECRET_RETRY_AFTER_S = 30.0


class NotificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an accepted notification; the same bytes for every repeat."""

    dr_event_id: UUID
    event_id: str
    status: str
    status_url: str
    capacity_kw: float
    capacity_source: str
    shortfall_kw: float


class CancellationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    event_id: str
    status: str


class NotificationController(Controller):
    path = WEBHOOK
    tags = ("utilities",)

    @post(
        status_code=202, summary="Ask for load to be shed in a window", operation_class=NotificationOperation
    )
    async def notify(self, request: ApiRequest) -> Response[bytes]:
        """Judged at once: 202 accepted, 422 infeasible with every reason."""
        web = collaborators_of(request)
        body = await _signed_body(request, web)
        check_is_json(request)
        key = _idempotency_key(request)
        notification = decode_notification(body, idempotency_key=key)
        _check_callback(notification.body.callback_url, web)
        await asyncio.to_thread(_check_queue, web)
        judgement = await asyncio.to_thread(_judge, request, web, notification, key)
        return _answer(notification.body.event_id, judgement)

    @patch("/{utility_event_id:str}", summary="Not supported: cancel and post anew")
    async def modify(self, utility_event_id: FromPath[str]) -> None:
        raise Problem(
            "modification-not-supported",
            "cancel the DR event by DELETE, then post it anew under a new event_id",
        )

    @delete("/{utility_event_id:str}", status_code=200, summary="Cancel a DR event before its start")
    async def cancel(self, request: ApiRequest, utility_event_id: FromPath[str]) -> CancellationAnswer:
        """Cancelling twice is the same as once; after the start 409 names the state."""
        web = collaborators_of(request)
        await _signed_body(request, web)
        command = CancelDREvent(
            dr_event_id=dr_event_id(str(request.user.utility_id), utility_event_id),
            reason="cancelled by the utility",
        )
        reply: Cancellation = await asyncio.to_thread(
            web.bus.handle, command, context_of(request), reply_type=Cancellation
        )
        return CancellationAnswer(
            dr_event_id=reply.dr_event_id, event_id=utility_event_id, status=reply.status
        )


async def _read_body(request: ApiRequest) -> bytes:
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await request.body()
    except TimeoutError:
        raise Problem("body-too-slow", f"the body did not come within {BODY_DEADLINE_S:g} s") from None
    except HTTPException as error:
        if error.status_code == 413:
            raise body_too_large() from None
        raise


async def _signed_body(request: ApiRequest, web: WebCollaborators) -> bytes:
    """The body, at most MAX_BODY_BYTES of it, with its signature checked where the utility signs."""
    body = await _read_body(request)
    try:
        secret = await asyncio.to_thread(web.webhook_secret, str(request.user.utility_id))
    except ValueError as error:
        # Without the secret nothing can be known to be genuine: closed, and said so in the log.
        raise try_again(
            "unavailable", "signatures cannot be checked now", retry_after_s=SECRET_RETRY_AFTER_S
        ) from error
    if secret is not None:
        check_signature(request.headers.get(SIGNATURE_HEADER), body, secret=secret, clock=web.clock)
    return body


def _idempotency_key(request: ApiRequest) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        reason = ProblemReason(
            code="invalid_field",
            detail=f"Expected 1 to {MAX_KEY_LENGTH} printable characters",
            field="Idempotency-Key",
        )
        raise Problem("invalid-request", "the header Idempotency-Key is wrong", (reason,))
    return key


def _check_callback(url: str | None, web: WebCollaborators) -> None:
    refusal = None if url is None else refusal_of(url, allow_private=web.allow_private_callbacks)
    if refusal is not None:
        reason = ProblemReason(code="callback_address_refused", detail=refusal, field="callback_url")
        raise Problem("callback-refused", f"the callback address is refused: {refusal}", (reason,))


def _check_queue(web: WebCollaborators) -> None:
    """Judged by the read model: a moment old, which for a guard against overload is near enough."""
    waiting = web.read_models.dr_events.listed(filters={"status": "accepted"}, limit=web.queue_depth)
    if len(waiting.rows) >= web.queue_depth:
        raise try_again("queue-full", f"{len(waiting.rows)} DR events wait to be planned", retry_after_s=5.0)


def _judge(
    request: ApiRequest, web: WebCollaborators, notification: Notification, key: str | None
) -> Judgement:
    utility_id = str(request.user.utility_id)
    command = JudgeNotification(
        utility_id=utility_id,
        utility_event_id=notification.body.event_id,
        notice=notification.body.notice(),
    )
    idempotency = IdempotencyKey(
        scope=f"{utility_id} {ROUTE}",
        key=key or notification.body.notification_id,
        body_hash=notification.body_hash,
    )
    context = context_of(request)
    judgement: Judgement = web.bus.handle(command, context, key=idempotency, reply_type=Judgement)
    return judgement


def _answer(event_id: str, judgement: Judgement) -> Response[bytes]:
    if judgement.status == "rejected":
        raise _infeasible(judgement)
    status_url = f"/api/dr-events/{judgement.dr_event_id}"
    answer = NotificationAnswer(
        dr_event_id=judgement.dr_event_id,
        event_id=event_id,
        status=judgement.status,
        status_url=status_url,
        capacity_kw=float(judgement.capacity_kw),
        capacity_source=judgement.capacity_source,
        shortfall_kw=float(judgement.shortfall_kw),
    )
    return Response(
        msgspec.json.encode(answer),
        status_code=202 if judgement.status == "accepted" else 200,
        media_type="application/json",
        headers={"Location": status_url},
    )


def _infeasible(judgement: Judgement) -> Problem:
    reasons = tuple(
        ProblemReason(code=reason.code, detail=reason.detail, facility_id=reason.facility_id)
        for reason in judgement.reasons
    )
    codes = ", ".join(dict.fromkeys(reason.code for reason in reasons))
    return Problem("infeasible", f"refused: {codes}", reasons, dr_event_id=str(judgement.dr_event_id))
