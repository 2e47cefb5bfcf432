"""Routes of the webhook: utilities request, modify and cancel DR events.

Refusals are ordered from cheap to dear, so that a flood costs little: declared size, key, role, rate (all before
the body is read, see guard/access.py), size as read, signature, media type, body, callback address; then the bus
looks up the idempotency key, checks the queue for new requests, and decides. Nothing of a request that was refused
before the bus is stored.
"""

import asyncio
from functools import partial
from hashlib import sha256
from typing import Annotated

from litestar import Controller, Response, delete, patch, post
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from application.access.signature import Signature
from application.command_bus.decision_context import IdempotencyKey
from application.commands.dr_event import (
    Cancellation,
    CancelNotifiedDREvent,
    Judgement,
    JudgeNotification,
    Modification,
    ModifyDREvent,
)
from domain.dr_event import ORDINARY_KIND
from domain.errors import UnknownDREvent
from interfaces.web.api.webhook.body import MOST_NUMBER, Notification, decode_notification
from interfaces.web.api.webhook.openapi import ModificationOperation, NotificationOperation
from interfaces.web.api.webhook.request import (
    check_callback,
    check_event_id,
    check_signed,
    idempotency_key_of,
    read_body,
    recorded_notice,
    take_quota,
)
from interfaces.web.api.webhook.responses import (
    CancellationAnswer,
    answer_of,
    cancellation_answer_of,
    json_response,
    modification_answer_of,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest, check_is_json
from interfaces.web.requests.command_context import context_of
from interfaces.web.route_policy import UTILITY, RoutePolicy
from interfaces.web.routes import WEBHOOK

ROUTE = f"POST {WEBHOOK}"
FROM_ZERO = {"minimum": 0}
"""The framework omits a bound of zero from the OpenAPI document."""
MODIFICATION_ROUTE = f"PATCH {WEBHOOK}"
CANCELLATION_ROUTE = f"DELETE {WEBHOOK}"


class NotificationController(Controller):
    path = WEBHOOK
    tags = ("utilities",)

    @post(
        status_code=202,
        summary="Request a DR event",
        operation_class=NotificationOperation,
        policy=RoutePolicy(roles=UTILITY, rate_limit="webhook"),
    )
    async def notify(self, request: ApiRequest, web: Web) -> Response[bytes]:
        """Decided at once: 202 accepted, 422 infeasible with its reasons (the first 50, and a count by code). A repeat
        gets the same response.
        """
        body = await read_body(request)
        check_is_json(request)
        utility_id, key = str(request.user.utility_id), idempotency_key_of(request)
        responses = web.responses
        if (cached := responses.find(utility_id, key, body)) is not None:
            return json_response(*cached, 202)
        signs, response = await web.notification_limit.run(
            utility_id, partial(asyncio.to_thread, _accept, request, web, body, key)
        )
        if not signs:
            responses.note_unsigned(utility_id)
        if response.status_code == 202:
            responses.store(utility_id, key, body, response.content, response.headers["Location"])
        return response

    @patch(
        "/{utility_event_id:str}",
        status_code=202,
        summary="Modify a DR event: window, target, facilities, kind or prices",
        operation_class=ModificationOperation,
        policy=RoutePolicy(roles=UTILITY, rate_limit="webhook"),
    )
    async def modify(self, request: ApiRequest, web: Web, utility_event_id: FromPath[str]) -> Response[bytes]:
        """The whole notification with a higher `modification_number`. If it is refused, nothing changes. After the
        window only `prices` may change, until the settlement is final."""
        body = await read_body(request)
        return await web.notification_limit.run(
            str(request.user.utility_id),
            partial(asyncio.to_thread, _modify, request, web, body, utility_event_id),
        )

    @delete(
        "/{utility_event_id:str}",
        status_code=200,
        summary="Cancel a DR event, also an active one, or one that was not notified yet",
        policy=RoutePolicy(roles=UTILITY, rate_limit="webhook"),
    )
    async def cancel(
        self,
        request: ApiRequest,
        web: Web,
        utility_event_id: FromPath[str],
        modification_number: Annotated[
            int | None, QueryParameter(ge=0, le=MOST_NUMBER, schema_extra=FROM_ZERO)
        ] = None,
        reason: Annotated[
            str, QueryParameter(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")
        ] = "cancelled by the utility",
    ) -> CancellationAnswer:
        """Repeating it changes nothing. A number lower than the current one is stale, and changes nothing."""
        body = await read_body(request)
        utility_id = str(request.user.utility_id)
        command = CancelNotifiedDREvent(
            utility_id=utility_id,
            utility_event_id=utility_event_id,
            modification_number=modification_number,
            reason=reason,
        )
        cancellation = await web.notification_limit.run(
            utility_id, partial(asyncio.to_thread, _cancel, request, web, body, command)
        )
        return cancellation_answer_of(utility_event_id, cancellation)


def _accept(
    request: ApiRequest, web: WebDependencies, body: bytes, key: str | None
) -> tuple[bool, Response[bytes]]:
    """Whether the utility signs, and the response.

    Everything that waits for a store happens here in one thread, since each switch between threads costs time.
    """
    signs = check_signed(request, web, body) is not None
    notification = decode_notification(body, idempotency_key=key)
    check_callback(notification.body.callback_url, web)
    return signs, answer_of(notification.body.event_id, _judge(request, web, body, notification, key))


def _judge(
    request: ApiRequest, web: WebDependencies, body: bytes, notification: Notification, key: str | None
) -> Judgement:
    utility_id = str(request.user.utility_id)
    idempotency = IdempotencyKey(
        scope=f"{utility_id} {ROUTE}",
        key=key or notification.body.notification_id,
        body_hash=notification.body_hash,
    )
    command = JudgeNotification(
        utility_id=utility_id,
        utility_event_id=notification.body.event_id,
        notice=recorded_notice(notification.body, web, utility_id),
        kind=notification.body.kind or ORDINARY_KIND,
        prices=notification.body.event_prices() or (),
    )
    judgement: Judgement = web.bus.handle(
        command,
        context_of(request),
        key=idempotency,
        reply_type=Judgement,
        # Not called for a repeat, which adds nothing to the queue and is answered while it is full.
        admit=partial(_admit, web, utility_id, body, notification),
    )
    if judgement.status == "accepted":
        web.planning_queue.note_accepted(utility_id)
    return judgement


def _admit(web: WebDependencies, utility_id: str, body: bytes, notification: Notification) -> None:
    web.planning_queue.check(utility_id)
    _take_bytes(web, utility_id, body, notification)


def _take_bytes(web: WebDependencies, utility_id: str, body: bytes, notification: Notification) -> None:
    take_quota(web, utility_id, body_bytes=len(body), facilities=len(notification.body.facility_ids))


def _modify(request: ApiRequest, web: WebDependencies, body: bytes, utility_event_id: str) -> Response[bytes]:
    """Independent of the queue limit, since a modification adds no DR event."""
    check_signed(request, web, body)
    check_is_json(request)
    key = idempotency_key_of(request)
    notification = decode_notification(body, idempotency_key=key, modified_event_id=utility_event_id)
    check_callback(notification.body.callback_url, web)
    utility_id = str(request.user.utility_id)
    modification: Modification = web.bus.handle(
        ModifyDREvent(
            utility_id=utility_id,
            utility_event_id=utility_event_id,
            notice=recorded_notice(notification.body, web, utility_id),
            kind=notification.body.kind,
            prices=notification.body.event_prices(),
        ),
        context_of(request),
        key=IdempotencyKey(
            scope=f"{utility_id} {MODIFICATION_ROUTE}/{utility_event_id}",
            key=key or notification.body.notification_id,
            body_hash=notification.body_hash,
        ),
        reply_type=Modification,
        admit=partial(_take_bytes, web, utility_id, body, notification),
    )
    return modification_answer_of(utility_event_id, modification)


def _cancel(
    request: ApiRequest, web: WebDependencies, body: bytes, command: CancelNotifiedDREvent
) -> Cancellation:
    """Cancelling an accepted DR event has no quota. What was never accepted begins a stream for each id."""
    signature = check_signed(request, web, body)
    check_event_id(command.utility_event_id)
    key = _cancellation_key(request, command.utility_event_id, signature)
    cancel = partial(web.bus.handle, context=context_of(request), key=key, reply_type=Cancellation)
    cancellation: Cancellation
    try:
        cancellation = cancel(replace(command, may_withdraw=False))
    except UnknownDREvent:
        take_quota(web, command.utility_id, unknown_cancellations=1)
        cancellation = cancel(command)
    return cancellation


def _cancellation_key(
    request: ApiRequest, utility_event_id: str, signature: Signature | None
) -> IdempotencyKey | None:
    """The header's key, else a v2 signature: whoever sends a signed cancellation again gets its first answer."""
    key = idempotency_key_of(request)
    if key is None and signature is not None and signature.version == "v2":
        key = f"v2:{signature.value.hex()}"
    if key is None:
        return None
    return IdempotencyKey(
        scope=f"{request.user.utility_id} {CANCELLATION_ROUTE}/{utility_event_id}",
        key=key,
        body_hash=sha256(request.scope["query_string"]).hexdigest(),
    )
