"""Routes of the settlement of a DR event: its document, its revisions, and the command to settle now."""

from collections.abc import Callable, Hashable
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from msgspec import Meta

from application.commands.dr_event import SettleDREvent, SettlementOutcome
from application.settlement.document import canonical_bytes, read_document
from application.settlement.own_part import FacilityNotSettled
from application.settlement.own_revisions import own_revisions
from application.settlement.shapes import SettlementDocument
from domain.event_sourcing.decoders import json_decoder
from interfaces.settlement.audience import Audience, seen_by
from interfaces.settlement.documents import (
    NotSettledYet,
    RevisionNotFound,
    revision_before,
    revision_in_force,
    stored_document,
    waits_for,
)
from interfaces.settlement.origins import measurement_path, with_origins
from interfaces.settlement.statement.csv_records import statement_csv
from interfaces.settlement.statement.event_page import statement_html
from interfaces.web.api.settlement.documents import (
    SettledDocument,
    SettlementRevisionsDocument,
    own_revision_document,
    revisions_document,
    settled_document,
)
from interfaces.web.api.settlement.forms import Form, form_of, in_form
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest, check_is_json
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, visible_dr_event
from interfaces.web.requests.command_context import handle_command, tenant_of
from interfaces.web.requests.read_your_writes import wait_for_projections
from interfaces.web.route_policy import EVERY_KEY, OPERATOR, RoutePolicy
from projections.dr_event.projection import DREventRow, SettlementRow

MOST_OWN_REVISIONS = 20
"""Of which a facility's part is read: each takes a document."""
Reason = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=r"^[^\x00]*\S[^\x00]*$")]
RevisionQuery = Annotated[
    int | None,
    QueryParameter(ge=0, le=1_000_000, description="An earlier revision; 0 is the first"),
]
TRead = TypeVar("TRead")


class SettlementBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May be left out."""

    reason: Reason = "an operator asked for it"
    """Recorded with a new revision, and shown to the utility."""
    rule: Literal["newest", "same"] = "newest"
    """By the newest version of the program, or by that of the revision in force."""


class SettlementController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/settlement"
    tags = ("settlements",)

    @get(
        "/",
        summary="The settlement in force, or an earlier revision: document, printable statement, or records",
        responses={
            200: ResponseSpec(SettlementDocument, generate_examples=False, description="The document")
        },
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True),
    )
    async def one(
        self,
        request: ApiRequest,
        web: Web,
        dr_event_id: FromPath[UUID],
        revision: RevisionQuery = None,
        as_of: AsOfQuery = None,
    ) -> Response[bytes]:
        """`Accept: text/html` gives the statement as a page without script, `text/csv` its records. A key of one
        facility gets its own part alone. `Prefer: wait=N` (s, at most 10) waits for the read model."""
        headers = await wait_for_projections(request, "dr_events")
        row, form = await settled_dr_event(request, dr_event_id, as_of), form_of(request)
        settlement = _revision(row, revision)
        audience, documents = audience_of(request), web.settlements
        # an owner may not read measurements
        path = None if request.user.role == "owner" else measurement_path(dr_event_id)
        name = ("settlement", dr_event_id, settlement.revision, settlement.digest, audience, form, path)

        def read() -> bytes:
            written = stored_document(documents, row, settlement)
            if form == "json" and audience.sees_all:
                return written
            document = read_document(written)
            if form == "html":
                document = with_origins(web.history, document, settlement.settled_at)
            previous = None
            if audience.facility_id is not None and document.resettlement is not None:
                previous = revision_before(documents, row, settlement)
            return _written(document, previous, audience, form, path)

        body = await _written_once(request, web, name, read)
        response = in_form(body, form, file_name=f"settlement-{dr_event_id}-{settlement.revision}")
        response.headers.update(headers)
        return response

    @get(
        "/revisions",
        summary="Every revision: when, why, total and difference",
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True),
    )
    async def revisions(
        self, request: ApiRequest, web: Web, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> SettlementRevisionsDocument:
        """A key of one facility gets the amounts of its own part, of the newest revisions."""
        row, audience = await settled_dr_event(request, dr_event_id, as_of), audience_of(request)
        whole = revisions_document(row, waits_for(row))
        facility_id, documents = audience.facility_id, web.settlements
        if facility_id is None:
            return whole
        rows = [one for one in row.settlements if one.digest is not None][-MOST_OWN_REVISIONS:]

        def read() -> SettlementRevisionsDocument:
            of_number = {one.revision: one for one in rows}
            found = own_revisions(
                (read_document(stored_document(documents, row, one)) for one in rows), facility_id
            )
            own = tuple(own_revision_document(of_number[one.revision], one) for one in found)
            return msgspec.structs.replace(whole, revisions=own)

        name = ("settlement revisions", dr_event_id, tuple(one.digest for one in rows), audience)
        return await settlement_read(request, web, name, read)

    @post(
        "/",
        status_code=200,
        summary="Settle now, or again, by the newest version of the program's rule",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def settle(self, request: ApiRequest, dr_event_id: FromPath[UUID]) -> SettledDocument:
        """Repeating it changes nothing: without a change the revision in force stays. 409 `settlement-final` after the
        deadline of the rule, `not-allowed-now` before every facility is measured."""
        body = await _body(request)
        command = SettleDREvent(
            dr_event_id=dr_event_id, why=body.reason, by_newest_rule=body.rule == "newest"
        )
        outcome: SettlementOutcome = await handle_command(request, command, reply_type=SettlementOutcome)
        return settled_document(outcome)


async def _body(request: ApiRequest) -> SettlementBody:
    """Raises Problem for a body that is no JSON, or has wrong fields."""
    written = await request.body()
    if not written:
        return SettlementBody()
    check_is_json(request)
    try:
        return json_decoder(SettlementBody).decode(written)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$.")
        reason = ProblemReason(code="invalid_field", detail=detail, field=path.rstrip("`") or "body")
        raise Problem("invalid-request", f"the body: {error}", (reason,)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed-body", f"the body is no JSON object: {error}") from error


def audience_of(request: ApiRequest) -> Audience:
    return Audience(request.user.utility_id, request.user.facility_id)


async def settled_dr_event(request: ApiRequest, dr_event_id: UUID, as_of: str | None) -> DREventRow:
    """The DR event, current or past, if the caller may see it. Raises Problem (404): a key of one facility learns of no
    DR event in which that has no part."""
    row = (await visible_dr_event(request, dr_event_id, parse_as_of(as_of))).dr_event
    facility_id = request.user.facility_id
    if facility_id is not None and facility_id not in {
        *row.facility_ids,
        *(target.facility_id for target in row.targets),
    }:
        raise no_part(facility_id)
    return row


def no_part(facility_id: str) -> Problem:
    return Problem("not-found", f"{facility_id[:200]} has no part in that DR event (then)")


async def settlement_read(
    request: ApiRequest, web: WebDependencies, name: Hashable, read: Callable[[], TRead]
) -> TRead:
    """The result of `read`, once for all concurrent callers of the same name; of each tenant one at a time, because a
    document of 10,000 facilities takes a second. Raises Problem."""
    try:
        return await web.settlement_limit.run(tenant_of(request), lambda: web.coalescer.read(name, read))
    except NotSettledYet as error:
        raise not_settled_yet(error) from error
    except FacilityNotSettled as error:
        raise no_part(request.user.facility_id or "it") from error


async def _written_once(
    request: ApiRequest, web: WebDependencies, name: Hashable, read: Callable[[], bytes]
) -> bytes:
    """As `settlement_read`, for what never changes: after the first caller nobody reads the store, or waits for it."""
    documents = web.settlement_documents

    def stored() -> bytes:
        found = documents.get(name)
        if found is None:
            found = read()
            documents.put(name, found)
        return found

    found = documents.get(name)
    return await settlement_read(request, web, name, stored) if found is None else found


def not_settled_yet(error: NotSettledYet) -> Problem:
    return Problem("not-settled-yet", str(error))


def _revision(row: DREventRow, revision: int | None) -> SettlementRow:
    try:
        return revision_in_force(row, revision)
    except NotSettledYet as error:
        raise not_settled_yet(error) from error
    except RevisionNotFound as error:
        raise Problem("not-found", str(error)) from error


def _written(
    document: SettlementDocument,
    previous: SettlementDocument | None,
    audience: Audience,
    form: Form,
    path: str | None,
) -> bytes:
    """`path`: address of how a facility was measured."""
    document = seen_by(audience, document, previous)
    match form:
        case "html":
            return statement_html(
                document, facility=audience.facility_id, previous=previous, measurement_path=path
            ).encode()
        case "csv":
            return statement_csv(document, facility=audience.facility_id, previous=previous).encode()
    return canonical_bytes(document)
