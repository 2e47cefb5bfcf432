"""Routes of the audit: the steps of a DR event, its proof, and the state of the ledger."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from application.ledger.consistency import ConsistencyDocument
from application.ledger.proof_document import ProofDocument, ProofDocumentV4
from application.ledger.status import LedgerStatus
from interfaces.web.api.audit.documents import (
    ActDocument,
    AuditReplayDocument,
    act_document,
    audit_replay_document,
)
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.as_of import AsOfQuery, limited_by_tenant, parse_as_of
from interfaces.web.requests.paging import Cursor, Limit, Listing
from interfaces.web.route_policy import AUDITOR, OPERATOR, RoutePolicy
from projections.audit.administration import read_acts
from projections.engine.cursors import cursor_after, invalid_cursor, read_cursor
from projections.engine.projection import sortable

ACTS = "administration"
HIGHEST_POSITION = 2**63 - 1


class AuditController(Controller):
    path = "/api/audit"
    tags = ("audit",)

    @get(
        "/dr-events/{dr_event_id:uuid}",
        summary="Every step of a DR event, and its state as of a moment",
        policy=RoutePolicy(roles=AUDITOR),
    )
    async def replay(
        self, request: ApiRequest, web: Web, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> Response[AuditReplayDocument]:
        """Read from the log, not from a read model."""
        past = parse_as_of(as_of)

        def read() -> bytes:
            return msgspec.json.encode(audit_replay_document(web.audits.read(dr_event_id, as_of=past)))

        def read_once() -> Awaitable[Any]:
            return web.coalescer.read(("audit", dr_event_id, past), read)

        body: Any = await (read_once() if past is None else limited_by_tenant(request, read_once))
        return Response(body, media_type=MediaType.JSON)

    @get(
        "/dr-events/{dr_event_id:uuid}/proof",
        summary="The history of a DR event as it was sealed, in one file that `gridproof audit check` checks",
        responses={
            200: ResponseSpec(
                ProofDocumentV4,
                generate_examples=False,
                description="The file, byte for byte as it is checked; `v3`, without `settlements`, if not settled",
            )
        },
        policy=RoutePolicy(roles=AUDITOR),
    )
    async def proof(self, web: Web, dr_event_id: FromPath[UUID]) -> Response[bytes]:
        """Contains what the newest checkpoint signs; later domain events are missing."""
        document = await asyncio.to_thread(web.ledger.proof, dr_event_id)
        return Response(
            document.written(),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{proof_file_name(document)}"'},
        )

    @get(
        "/administration",
        summary="Administrative acts: keys, dead letters, imports, migrations, overrides; the newest first",
        policy=RoutePolicy(roles=AUDITOR),
    )
    async def administration(
        self, web: Web, cursor: Cursor = None, limit: Limit = 100
    ) -> Listing[ActDocument]:
        """Read from the log. Other acts on a DR event stand among its own steps."""
        log, before = web.stream_log, _position_of(cursor)
        found = await asyncio.to_thread(read_acts, log, before=before, limit=limit)
        following = found.next_before
        return Listing(
            items=tuple(map(act_document, found.acts)),
            next_cursor=None if following is None else cursor_after(ACTS, sortable(following), ""),
        )

    @get(
        "/ledger/consistency",
        summary="That the newest checkpoint extends checkpoint `from`, in one file that `gridproof audit check` checks",
        responses={
            200: ResponseSpec(
                ConsistencyDocument,
                generate_examples=False,
                description="The file, byte for byte as it is checked",
            )
        },
        policy=RoutePolicy(roles=AUDITOR | OPERATOR),
    )
    async def consistency(
        self,
        web: Web,
        since: Annotated[
            int,
            QueryParameter(
                name="from", ge=1, le=2**53, description="The number of a checkpoint that you keep"
            ),
        ],
    ) -> Response[bytes]:
        """404 where the ledger has no such checkpoint: if you keep one, the ledger was rolled back."""
        document = await asyncio.to_thread(web.ledger.consistency, since)
        return Response(document.written(), media_type="application/json")

    @get(
        "/ledger",
        summary="How far both logs are sealed, and the newest signed checkpoint",
        policy=RoutePolicy(roles=AUDITOR | OPERATOR),
    )
    async def ledger(self, web: Web) -> LedgerStatus:
        return await asyncio.to_thread(web.ledger.status)


def _position_of(cursor: str | None) -> int | None:
    """Raises InvalidCursor."""
    if cursor is None:
        return None
    position, _ = read_cursor(ACTS, cursor)
    if not (position.isascii() and position.isdigit() and len(position) == len(sortable(0))):
        raise invalid_cursor()
    if int(position) > HIGHEST_POSITION:
        raise invalid_cursor()
    return int(position)


def proof_file_name(document: ProofDocument) -> str:
    """From DR event and checkpoint, so that a later proof does not overwrite an earlier one."""
    number = document.signed_checkpoint.checkpoint.number
    return f"gridproof-proof-{document.dr_event_id}-{number}.json"
