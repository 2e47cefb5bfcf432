"""A call of a BMS names its trace: always in the HTTP header, and in the envelope where the facility's BMS wants it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send
from lxml import etree

from adapters.bms.messages import TRACE_TAG
from adapters.bms.soap import SoapBuildingControl
from application.command_bus.spans import traced
from application.facility.portfolio_entries import BmsProfile
from application.ports.dispatch.building_control import BmsConnection
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from tests.building_rig import CLOCK, PROFILES, ZONES
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.recorded_spans import recorded_spans
from tests.sample_values import THIS_MACHINE

TRACE = "0af7651916cd43dd8448eb211c80319c"


class RecordingServer:
    """The building's server, and what it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.headers: Mapping[str, str] = {}
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}

        async def listened() -> Any:
            message: Any = await receive()
            self.body += message.get("body", b"")
            return message

        await self._app(scope, listened, send)

    @property
    def in_envelope(self) -> list[str]:
        return [str(one.text) for one in etree.fromstring(self.body).iter(TRACE_TAG)]


async def zone_state_request(
    profile: BmsProfile, *, soap_traceparent: bool, is_traced: bool = True
) -> RecordingServer:
    """What the BMS hears when the state of a zone is asked."""
    building = Building("fac-001", ZONES, record=lambda _: None, profile=profile)
    heard = RecordingServer(create_bms_app(BmsServer({"fac-001": building}, clock=CLOCK, passwords={})))
    control = SoapBuildingControl(
        clock=CLOCK, secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
    )
    async with hosted(heard, "127.0.0.1:0") as url:
        connection = BmsConnection(
            facility_id="fac-001",
            address=f"{url}/buildings/fac-001/bms",
            profile=profile,
            soap_traceparent=soap_traceparent,
        )
        if is_traced:
            with traced("bms verify", TRACE):
                await control.zone_state(connection, "hall")
        else:
            await control.zone_state(connection, "hall")
        await control.aclose()
    return heard


@pytest.mark.parametrize("profile", PROFILES)
def test_the_envelope_names_the_trace_only_where_the_bms_wants_it(profile: BmsProfile) -> None:
    with recorded_spans() as recorder:
        plain = asyncio.run(zone_state_request(profile, soap_traceparent=False))
        wanted = asyncio.run(zone_state_request(profile, soap_traceparent=True))
    calls = [f"00-{TRACE}-{span.span_id}-01" for span in recorder.spans if span.name.startswith("SOAP ")]
    assert [plain.headers["traceparent"], wanted.headers["traceparent"]] == calls
    assert (plain.in_envelope, wanted.in_envelope) == ([], [wanted.headers["traceparent"]])


def test_the_trace_is_named_also_while_no_spans_are_recorded() -> None:
    heard = asyncio.run(zone_state_request("two_phase", soap_traceparent=False))
    assert heard.headers["traceparent"].startswith(f"00-{TRACE}-")


def test_a_call_outside_of_a_trace_names_none() -> None:
    heard = asyncio.run(zone_state_request("two_phase", soap_traceparent=True, is_traced=False))
    assert "traceparent" not in heard.headers
    assert heard.in_envelope == []
