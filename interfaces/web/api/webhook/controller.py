"""Routes of the webhook: utilities request, modify and cancel DR events.

Refusals are ordered from cheap to dear, so that a flood costs little: declared size, key, role, rate, media type (all
before the body is read, see guard/access.py), size as read, idempotency key, signature, body, callback address; then
the bus looks up the idempotency key, checks the queue for new requests, and decides. Nothing of a request that was
refused before the bus is stored.
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
    WebhookCall,
    admit_new,
    check_event_id,
    check_signed,
    read_call,
    recorded_notice,
    take_bytes,
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
from interfaces.web.guard.access import ApiRequest
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
        policy=RoutePolicy(roles=UTILITY, rate_limit="webhook", reads_json=True),
    )
    async def notify(self, request: ApiRequest, web: Web) -> Response[bytes]:
        """Decided at once: 202 accepted, 422 infeasible with its reasons (the first 50, and a count by code). A repeat
        gets the same response.
        """
        call = await read_call(request)
        name = call.utility_id, call.key, call.body
        if (cached := web.responses.find(*name)) is not None:
            return json_response(*cached, 202)
        signs, response = await web.notification_limit.run(
            call.utility_id, partial(asyncio.to_thread, _accept, call, web)
        )
        if response.status_code == 202 and not signs:
            web.responses.store(*name, response.content, response.headers["Location"])
        return response

    @patch(
        "/{utility_event_id:str}",
        status_code=202,
        summary="Modify a DR event: window, target, facilities, kind or prices",
        operation_class=ModificationOperation,
        policy=RoutePolicy(roles=UTILITY, rate_limit="webhook", reads_json=True),
    )
    async def modify(self, request: ApiRequest, web: Web, utility_event_id: FromPath[str]) -> Response[bytes]:
        """The whole notification with a higher `modification_number`. If it is refused, nothing changes. After the
        window only `prices` may change, until the settlement is final."""
        call = await read_call(request)
        return await web.notification_limit.run(
            call.utility_id, partial(asyncio.to_thread, _modify, call, web, utility_event_id)
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
        call = await read_call(request)
        command = CancelNotifiedDREvent(
            utility_id=call.utility_id,
            utility_event_id=utility_event_id,
            modification_number=modification_number,
            reason=reason,
        )
        cancellation = await web.notification_limit.run(
            call.utility_id, partial(asyncio.to_thread, _cancel, call, web, command)
        )
        return cancellation_answer_of(utility_event_id, cancellation)


def _accept(call: WebhookCall, web: WebDependencies) -> tuple[bool, Response[bytes]]:
    """The response, and True if the utility signs.

    Everything that waits for a store happens here in one thread, since each switch between threads costs time.
    """
    signs = check_signed(call, web) is not None
    notification = decode_notification(call.body, idempotency_key=call.key)
    return signs, answer_of(notification.event_id, _judge(call, web, notification))


def _judge(call: WebhookCall, web: WebDependencies, notification: Notification) -> Judgement:
    judgement: Judgement = web.bus.handle(
        JudgeNotification(
            utility_id=call.utility_id,
            utility_event_id=notification.event_id,
            notice=recorded_notice(notification.notice, web, call.utility_id),
            kind=notification.kind or ORDINARY_KIND,
            prices=notification.prices or (),
        ),
        context_of(call.request),
        key=_key_of(call, notification, ROUTE),
        reply_type=Judgement,
        # Not called for a repeat, which adds nothing to the queue and is answered while it is full.
        admit=partial(admit_new, call, web, notification.notice),
    )
    return judgement


def _modify(call: WebhookCall, web: WebDependencies, utility_event_id: str) -> Response[bytes]:
    """Independent of the queue limit, since a modification adds no DR event."""
    check_signed(call, web)
    notification = decode_notification(
        call.body, idempotency_key=call.key, modified_event_id=utility_event_id
    )
    modification: Modification = web.bus.handle(
        ModifyDREvent(
            utility_id=call.utility_id,
            utility_event_id=utility_event_id,
            notice=recorded_notice(notification.notice, web, call.utility_id),
            kind=notification.kind,
            prices=notification.prices,
        ),
        context_of(call.request),
        key=_key_of(call, notification, f"{MODIFICATION_ROUTE}/{utility_event_id}"),
        reply_type=Modification,
        admit=partial(take_bytes, call, web, notification.notice),
    )
    return modification_answer_of(utility_event_id, modification)


def _key_of(call: WebhookCall, notification: Notification, route: str) -> IdempotencyKey:
    return IdempotencyKey(
        scope=f"{call.utility_id} {route}",
        key=call.key or notification.notice.notification_id,
        body_hash=notification.body_hash,
    )


def _cancel(call: WebhookCall, web: WebDependencies, command: CancelNotifiedDREvent) -> Cancellation:
    """Cancelling an accepted DR event has no quota. What was never accepted begins a stream for each id."""
    signature = check_signed(call, web)
    check_event_id(command.utility_event_id)
    key = _cancellation_key(call, command.utility_event_id, signature)
    cancel = partial(web.bus.handle, context=context_of(call.request), key=key, reply_type=Cancellation)
    cancellation: Cancellation
    try:
        cancellation = cancel(replace(command, may_withdraw=False))
    except UnknownDREvent:
        take_quota(web, command.utility_id, unknown_cancellations=1)
        cancellation = cancel(command)
    return cancellation


def _cancellation_key(
    call: WebhookCall, utility_event_id: str, signature: Signature | None
) -> IdempotencyKey | None:
    """The header's key, else the signature: whoever sends a signed cancellation again gets its first answer."""
    key = call.key
    if key is None and signature is not None:
        key = f"v2:{signature.value.hex()}"
    if key is None:
        return None
    return IdempotencyKey(
        scope=f"{call.utility_id} {CANCELLATION_ROUTE}/{utility_event_id}",
        key=key,
        body_hash=sha256(call.request.scope["query_string"]).hexdigest(),
    )
