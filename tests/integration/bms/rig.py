"""A simulated building served over HTTP with configurable faults, and a server with arbitrary responses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from adapters.bms.soap import SoapBuildingControl, SoapLimits
from adapters.clock import AcceleratedClock
from application.facility.portfolio_entries import BmsProfile, ZoneEntry
from application.ports.clock import Clock
from application.ports.dispatch.building_control import BmsConnection, Setpoint, ZoneCommand
from application.ports.dispatch.call_slots import CallSlots
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.faults import FaultKind, FaultOrder
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.sample_values import THIS_MACHINE

DR_EVENT = UUID(int=42)
SPEED = 100.0
"""With this speed the BMS's 30 s last 0.3 s on the wall."""
ANSWERS_WITHIN_S = 2.0
"""Wall seconds for a whole call, at least: also a busy machine answers within it."""


def fast_clock() -> AcceleratedClock:
    now = datetime.now(UTC)
    return AcceleratedClock(epoch=now, started_at=now, speed=SPEED)


def order(phase: str = "prepare", **changes: Any) -> ZoneCommand:
    values: dict[str, Any] = {
        "command_id": uuid4(),
        "dr_event_id": DR_EVENT,
        "facility_id": "fac-001",
        "zone_id": "hall",
        "phase": phase,
        "plan_revision": 1,
        "round": 0,
        "strategy": "setpoint_offset",
        "magnitude": 2.0 if phase in ("prepare", "commit") else 0.0,
        "restore_to": Setpoint(value=22.0, unit="celsius") if phase == "restore" else None,
        "expires_at": datetime.now(UTC) + timedelta(days=2),
    }
    return ZoneCommand(**(values | changes))


@dataclass
class ServedBuilding:
    """A control, a building behind HTTP and its journal."""

    control: SoapBuildingControl
    connection: BmsConnection
    server: BmsServer
    building: Building
    clock: Clock
    url: str
    journal: list[JournalEntry] = field(default_factory=list)

    def fault(self, kind: FaultKind, **details: Any) -> None:
        self.server.faults.replace("fac-001", (FaultOrder(facility_id="fac-001", kind=kind, **details),))


@contextlib.asynccontextmanager
async def served_building(
    profile: BmsProfile = "two_phase",
    limits: SoapLimits | None = None,
    shed_factor: float = 1.0,
    slots: CallSlots | None = None,
    **control: Any,
) -> AsyncIterator[ServedBuilding]:
    journal: list[JournalEntry] = []
    clock = fast_clock()
    zones = (ZoneEntry(zone_id="hall", curtailable_kw=90.0, rebound_ramp_s=600),)
    building = Building("fac-001", zones, record=journal.append, profile=profile, shed_factor=shed_factor)
    server = BmsServer({"fac-001": building}, clock=clock)
    adapter = SoapBuildingControl(
        clock=clock,
        secret=lambda _: b"",
        limits=limits or SoapLimits(total_floor_s=ANSWERS_WITHIN_S),
        networks=THIS_MACHINE,
        slots=slots or FakeCallSlots(),
        **control,
    )
    async with hosted(create_bms_app(server), "127.0.0.1:0") as url:
        connection = BmsConnection(
            facility_id="fac-001", address=f"{url}/buildings/fac-001/bms", profile=profile
        )
        yield ServedBuilding(adapter, connection, server, building, clock, url, journal)
        await adapter.aclose()


Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(answer: Answering) -> AsyncIterator[BmsConnection]:
    """A TCP server that reads one HTTP request and then lets `answer` write any response."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await answer(await reader.readexactly(length), writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield BmsConnection(facility_id="fac-001", address=f"http://{host}:{port}/bms")
    finally:
        server.close()


def http(body: bytes, *, status: str = "200 OK", content_type: str = "text/xml", extra: str = "") -> bytes:
    """A response after which `raw_server` closes the connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n{extra}\r\n".encode() + body
