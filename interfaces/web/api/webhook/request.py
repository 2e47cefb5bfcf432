"""A request of a utility, and its checks: body, idempotency key, signature, event id, callback address and quota."""

import asyncio
from functools import partial
from typing import NamedTuple

import msgspec
import structlog
from litestar.exceptions import HTTPException
from msgspec.structs import replace

from application.access.signature import (
    SIGNATURE_HEADER,
    AmbiguousKey,
    BadSignature,
    Signature,
    SignedRequest,
    StaleSignature,
    check_age,
    request_signature,
)
from application.ports.access.daily_usage import UsageKind
from domain.dr_event import Notice
from domain.event_sourcing.decoders import converted
from interfaces.web.api.webhook.body import EventId
from interfaces.web.api.webhook.callback_address import refusal_of
from interfaces.web.edge import WebDependencies
from interfaces.web.guard.access import ApiRequest, body_too_large
from interfaces.web.problems import Problem, ProblemReason, try_again

log = structlog.get_logger(__name__)
MAX_KEY_LENGTH = 200
BODY_DEADLINE_S = 10.0
"""Wall seconds, so that a slow sender does not hold a connection."""
SECRET_RETRY_AFTER_S = 30.0
RECORD_OVERHEAD_BYTES = 1_024
"""Stored for a request besides its content: provenance, identifiers, the reply."""
FACILITY_BYTES = 2_048
"""Recorded for each facility of a request that is accepted, planned and cancelled."""


class WebhookCall(NamedTuple):
    """A request of a utility, as it was read."""

    request: ApiRequest
    utility_id: str
    body: bytes
    key: str | None
    """Of the header `Idempotency-Key`."""


async def read_call(request: ApiRequest) -> WebhookCall:
    """Raises the problem `body-too-large` or `body-too-slow`, or `invalid-request` for a wrong idempotency key."""
    body = await _read_body(request)
    return WebhookCall(request, str(request.user.utility_id), body, _idempotency_key_of(request))


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


def check_signed(call: WebhookCall, web: WebDependencies) -> Signature | None:
    """The valid signature of the request; None if the utility does not sign. Reads a store."""
    try:
        secret = web.webhook_secret(call.utility_id)
    except ValueError as error:
        # Without the secret no signature can be checked, so the request is refused.
        log.warning("a signature cannot be checked", utility_id=call.utility_id, why=str(error))
        raise try_again(
            "secret-unavailable",
            "the secret of your signatures cannot be read here; the operator has to set it",
            retry_after_s=SECRET_RETRY_AFTER_S,
        ) from error
    return None if secret is None else _signature_of(call, web, secret)


def _signature_of(call: WebhookCall, web: WebDependencies, secret: bytes) -> Signature:
    """Raises the problem `bad-signature`, `stale-signature` or `invalid-request`."""
    try:
        signature = request_signature(
            call.request.headers.get(SIGNATURE_HEADER), _signed_request(call), secret=secret
        )
        check_age(signature, web.clock)
    except BadSignature as error:
        raise Problem("bad-signature", str(error)) from None
    except StaleSignature as error:
        raise Problem("stale-signature", str(error)) from None
    except AmbiguousKey:
        detail = "with a signature an Idempotency-Key holds no full stop; use another character"
        reason = ProblemReason(code="invalid_field", detail=detail, field="Idempotency-Key")
        raise Problem("invalid-request", detail, (reason,)) from None
    return signature


def _signed_request(call: WebhookCall) -> SignedRequest:
    scope = call.request.scope
    query = scope["query_string"]
    path = scope["raw_path"] or scope["path"].encode()
    return SignedRequest(
        method=str(scope["method"]),
        target=path + (b"?" + query if query else b""),
        idempotency_key=(call.key or "").encode("latin-1"),
        body=call.body,
    )


def _idempotency_key_of(request: ApiRequest) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        reason = ProblemReason(
            code="invalid_field",
            detail=f"Expected 1 to {MAX_KEY_LENGTH} printable characters",
            field="Idempotency-Key",
        )
        raise Problem("invalid-request", "the header Idempotency-Key is wrong", (reason,))
    return key


def check_event_id(utility_event_id: str) -> None:
    """The id in the path has the same rules as one in a body, since it is recorded too."""
    try:
        converted(utility_event_id, EventId)
    except msgspec.ValidationError as error:
        reason = ProblemReason(code="invalid_field", detail=str(error), field="event_id")
        raise Problem("invalid-request", "the event id in the address is wrong", (reason,)) from None


def recorded_notice(notice: Notice, web: WebDependencies, utility_id: str) -> Notice:
    """The notice with the id of its callback address in place of the address. A new address takes quota.

    Raises the problem `callback-refused` or `quota-exceeded`.
    """
    if notice.callback_url is None:
        return notice
    ports = None if web.allow_private_callbacks else web.callback_ports
    if (refusal := refusal_of(notice.callback_url, ports=ports)) is not None:
        reason = ProblemReason(code="callback_address_refused", detail=refusal, field="callback_url")
        raise Problem("callback-refused", f"the callback address is refused: {refusal}", (reason,))
    if web.callback_ids is None:
        return notice
    admit = partial(take_quota, web, utility_id, body_bytes=len(notice.callback_url))
    address_id = web.callback_ids.of(utility_id, notice.callback_url, admit=admit)
    return replace(notice, callback_url=None, callback_address_id=address_id)


def admit_new(call: WebhookCall, web: WebDependencies, notice: Notice) -> None:
    """Take a place in the planning queue, and quota. Raises the problem `queue-full` or `quota-exceeded`."""
    web.planning_queue.take_place(call.utility_id)
    take_bytes(call, web, notice)


def take_bytes(call: WebhookCall, web: WebDependencies, notice: Notice) -> None:
    """Raises the problem `quota-exceeded`."""
    take_quota(web, call.utility_id, body_bytes=len(call.body), facilities=len(notice.facility_ids))


def take_quota(
    web: WebDependencies,
    utility_id: str,
    *,
    body_bytes: int = 0,
    facilities: int = 0,
    unknown_cancellations: int = 0,
) -> None:
    """Raises the problem `quota-exceeded`. Asks a store now and then."""
    kind: UsageKind = "stored_bytes"
    amount = body_bytes + RECORD_OVERHEAD_BYTES + facilities * FACILITY_BYTES
    what = "bytes of recorded requests"
    if unknown_cancellations:
        kind, amount = "unknown_cancellations", unknown_cancellations
        what = "cancellations of DR events that were never accepted"
    wait_s = None if web.quotas is None else web.quotas.take(utility_id, kind, amount)
    if wait_s is not None:
        raise try_again(
            "quota-exceeded", f"this utility has used up its {what} of today", retry_after_s=wait_s
        )
