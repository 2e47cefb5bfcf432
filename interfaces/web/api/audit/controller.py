"""Routes of the audit: the steps of a DR event, its proof, and the state of the ledger."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from application.ledger.proof import ProofDocument
from application.ledger.status import LedgerStatus
from interfaces.web.api.audit.documents import AuditReplayDocument, audit_replay_document
from interfaces.web.edge import dependencies_of, edge_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of
from interfaces.web.route_policy import AUDITOR, OPERATOR, RoutePolicy


class AuditController(Controller):
    path = "/api/audit"
    tags = ("audit",)

    @get(
        "/dr-events/{dr_event_id:uuid}",
        summary="Every step of a DR event, and its state as of a moment",
        policy=RoutePolicy(roles=AUDITOR),
    )
    async def replay(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> Response[AuditReplayDocument]:
        """Read from the log, not from a read model."""
        edge, past = edge_of(request), parse_as_of(as_of)

        def read() -> bytes:
            return msgspec.json.encode(audit_replay_document(edge.audits.read(dr_event_id, as_of=past)))

        body: Any = await edge.coalescer.read(("audit", dr_event_id, past), read)
        return Response(body, media_type=MediaType.JSON)

    @get(
        "/dr-events/{dr_event_id:uuid}/proof",
        summary="The history of a DR event as it was sealed, in one file that `gridproof audit check` checks",
        responses={
            200: ResponseSpec(
                ProofDocument,
                generate_examples=False,
                description="The file, byte for byte as it is checked",
            )
        },
        policy=RoutePolicy(roles=AUDITOR),
    )
    async def proof(self, request: ApiRequest, dr_event_id: FromPath[UUID]) -> Response[bytes]:
        """Contains what the newest checkpoint signs; later domain events are missing."""
        document = await asyncio.to_thread(dependencies_of(request).ledger.proof, dr_event_id)
        return Response(
            document.written(),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{proof_file_name(document)}"'},
        )

    @get(
        "/ledger",
        summary="How far both logs are sealed, and the newest signed checkpoint",
        policy=RoutePolicy(roles=AUDITOR | OPERATOR),
    )
    async def ledger(self, request: ApiRequest) -> LedgerStatus:
        return await asyncio.to_thread(dependencies_of(request).ledger.status)


def proof_file_name(document: ProofDocument) -> str:
    """From DR event and checkpoint, so that a later proof does not overwrite an earlier one."""
    number = document.signed_checkpoint.checkpoint.number
    return f"gridproof-proof-{document.dr_event_id}-{number}.json"
