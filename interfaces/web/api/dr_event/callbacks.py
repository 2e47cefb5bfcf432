"""Route of the callbacks of a DR event."""

from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath

from interfaces.web.api.dr_event.documents import CallbackDocument, callback_document
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, visible_dr_event
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy


class CallbackController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/callbacks"
    tags = ("DR events",)

    @get(
        "/",
        summary="Each callback to the utility, in the order of the requests",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="replica", projections=("dr_events",)),
    )
    async def listed(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], *, as_of: AsOfQuery = None
    ) -> Listing[CallbackDocument]:
        """Empty if the notification named no address. Each belongs to a step of the DR event, so they are few."""
        row = (await visible_dr_event(request, dr_event_id, parse_as_of(as_of))).dr_event
        items = [callback_document(callback_id, callback) for callback_id, callback in row.callbacks.items()]
        return Listing(items=tuple(sorted(items, key=lambda item: (item.requested_at, item.callback_id))))
