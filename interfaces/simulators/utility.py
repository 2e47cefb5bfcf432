"""The simulated utility: receives Gridproof's callbacks, checks their signatures and journals them."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from litestar import Litestar, Request, post
from litestar.datastructures import State
from litestar.response import Response

from application.access.signature import BadSignature, body_signed_at
from application.ports.clock import Clock
from interfaces.simulators.journal import Journal

BODY_BYTES = 1_000_000


class UtilityFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the utility misbehaves."""

    fail_first: int = 0
    """This many calls are answered 503."""
    always_fail: bool = False
    delay_s: float = 0.0
    """Clock seconds before each answer."""


class ReceivedCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it arrived, with the status of its answer."""

    received_at: datetime
    kind: str | None
    dr_event_id: str | None
    callback_id: str | None
    signature_ok: bool
    signature_age_s: float | None
    """Clock seconds between signing and arrival."""
    status: int
    body: Any


def signature_time(header: str, body: bytes, secret: bytes) -> int | None:
    """The Unix time of a valid signature of the body, else None."""
    try:
        return body_signed_at(header, body, secret=secret)
    except BadSignature:
        return None


class SimulatedUtility:
    """Handles callbacks. Without a secret, signatures are not checked."""

    def __init__(
        self,
        *,
        clock: Clock,
        journal: Journal,
        secret: bytes | None,
        faults: UtilityFaults | None = None,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._secret = secret
        self._faults = faults or UtilityFaults()
        self._calls = 0

    async def receive(self, body: bytes, signature: str) -> int:
        """The HTTP status to answer with: 200, 401 (signature), 400 (no JSON) or an injected 503."""
        self._calls += 1
        now = self._clock.now()
        signed_at = None if self._secret is None else signature_time(signature, body, self._secret)
        signature_ok = self._secret is None or signed_at is not None
        document = _document(body)
        status = self._status(signature_ok, document)
        self._journal.append(
            ReceivedCallback(
                received_at=now,
                kind=_text(document, "kind", "type"),
                dr_event_id=_text(document, "dr_event_id"),
                callback_id=_text(document, "callback_id", "id"),
                signature_ok=signature_ok,
                signature_age_s=None if signed_at is None else now.timestamp() - signed_at,
                status=status,
                body=document,
            )
        )
        await asyncio.sleep(self._clock.wall_seconds(self._faults.delay_s))
        return status

    def _status(self, signature_ok: bool, document: Any) -> int:
        if self._faults.always_fail or self._calls <= self._faults.fail_first:
            return 503
        if not signature_ok:
            return 401
        return 200 if isinstance(document, dict) else 400


def _document(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", errors="replace")


def _text(document: Any, *names: str) -> str | None:
    if not isinstance(document, dict):
        return None
    return next((str(document[name]) for name in names if name in document), None)


def create_utility_app(utility: SimulatedUtility) -> Litestar:
    """`POST /callbacks`."""
    return Litestar([callbacks], state=State({"utility": utility}), openapi_config=None)


@post("/callbacks", status_code=200, request_max_body_size=BODY_BYTES)
async def callbacks(request: Request[None, None, State], state: State) -> Response[dict[str, bool]]:
    status = await state.utility.receive(await request.body(), request.headers.get("x-signature", ""))
    return Response({"received": status == 200}, status_code=status)
