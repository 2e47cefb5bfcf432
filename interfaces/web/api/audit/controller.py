"""Routes of the audit: the steps of a DR event, a facility or a program, proofs, and the state of the ledger."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from application.ledger.consistency import ConsistencyDocument
from application.ledger.proof_document import ProofDocument
from application.ledger.status import LedgerStatus
from application.ports.access.api_keys import ApiKey
from interfaces.web.api.audit.documents import (
    ActDocument,
    AuditReplayDocument,
    FacilityReplayDocument,
    ProgramReplayDocument,
    act_document,
    audit_replay_document,
    facility_replay_document,
    program_replay_document,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, fold_log, limited_by_tenant, parse_as_of, read_log
from interfaces.web.requests.paging import Cursor, Filter, Limit
from interfaces.web.requests.visibility import unknown_facility
from interfaces.web.route_policy import AUDITOR, OPERATOR, OWNER, UTILITY, RoutePolicy
from projections.audit.administration import ActFilter, ActKind, Acts, read_acts
from projections.audit.subject_replay import facility_replay, program_replay
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
                ProofDocument,
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
        "/facilities/{facility_id:str}",
        summary="Every change of a facility, and its state as of a moment",
        policy=RoutePolicy(roles=AUDITOR | OPERATOR | OWNER, one_facility=True),
    )
    async def facility(
        self, request: ApiRequest, facility_id: FromPath[str], as_of: AsOfQuery = None
    ) -> FacilityReplayDocument:
        """Read from the log. A key of one facility sees no act that names another one too."""
        past, only = parse_as_of(as_of), request.user.facility_id
        if only not in {None, facility_id}:
            raise unknown_facility()
        read = partial(facility_replay, facility_id=facility_id, as_of=past, only_this=only is not None)
        replayed = await (fold_log(request, read) if past is None else read_log(request, read, as_of=past))
        return facility_replay_document(replayed)

    @get(
        "/programs/{program_id:str}",
        summary="Every change of a program, and its terms as of a moment",
        policy=RoutePolicy(roles=AUDITOR | OPERATOR | UTILITY),
    )
    async def program(
        self, request: ApiRequest, program_id: FromPath[str], as_of: AsOfQuery = None
    ) -> ProgramReplayDocument:
        """Read from the log. A utility sees its own."""
        past = parse_as_of(as_of)
        read = partial(program_replay, program_id=program_id, as_of=past)
        replayed = await read_log(request, read, as_of=past)
        if request.user.utility_id not in {None, replayed.utility_id}:
            raise _unknown_program()
        return program_replay_document(replayed)

    @get(
        "/administration",
        summary="What people changed: facilities, programs, keys, imports, overrides and more; the newest first",
        policy=RoutePolicy(roles=AUDITOR | OPERATOR | OWNER | UTILITY, one_facility=True),
    )
    async def administration(
        self,
        request: ApiRequest,
        web: Web,
        *,
        kind: Annotated[ActKind | None, QueryParameter(description="Only acts of this kind")] = None,
        facility: Filter = None,
        program: Filter = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Listing[ActDocument]:
        """Read from the log. Other acts on a DR event stand among its own steps. A key of one facility sees what names
        that one alone; a utility names one of its programs. A page may have fewer than `limit`."""
        before = _position_of(cursor)
        wanted = ActFilter(kind=kind, facility_id=facility, program_id=program)
        visible = await asyncio.to_thread(_visible, request.user, web, wanted)

        def read() -> Awaitable[Acts]:
            return asyncio.to_thread(read_acts, web.stream_log, before=before, limit=limit, wanted=visible)

        # A facility or a program is looked for in all listed domain events: one tenant's searches delay its own only.
        found = await (read() if visible.subject is None else limited_by_tenant(request, read))
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


def _visible(user: ApiKey, web: WebDependencies, wanted: ActFilter) -> ActFilter:
    """The part that the key may see. Raises Problem."""
    if user.facility_id is not None:
        if wanted.facility_id not in {None, user.facility_id}:
            raise unknown_facility()
        return replace(wanted, facility_id=user.facility_id, only_this=True)
    if user.utility_id is None:
        return wanted
    if wanted.program_id is None or wanted.facility_id is not None:
        raise Problem("forbidden", "a utility sees the changes of its own programs: name one, `?program=`")
    program = web.program(wanted.program_id)
    if program is None or program.utility_id != user.utility_id:
        raise _unknown_program()
    return replace(wanted, only_this=True)


def _unknown_program() -> Problem:
    return Problem("not-found", "no such program (then)")


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
