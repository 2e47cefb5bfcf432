"""The floor of the dispatch benchmark: the same commits and restores by bare aiohttp, without decisions or records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4, uuid5

import aiohttp
import uvloop

from application.facility.portfolio_entries import FacilityEntry

DR_EVENT = UUID(int=1)
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:b="urn:gridproof:bms:1"><s:Body>'
    "<b:{operation}><b:commandId>{command_id}</b:commandId><b:drEventId>{dr_event_id}</b:drEventId>"
    "<b:facilityId>{facility_id}</b:facilityId><b:zoneId>{zone_id}</b:zoneId><b:planRevision>1</b:planRevision>"
    "<b:round>1</b:round><b:strategy>setpoint_offset</b:strategy><b:expiresAt>{expires_at}</b:expiresAt>{rest}"
    "</b:{operation}></s:Body></s:Envelope>"
)
MAGNITUDE = "<b:magnitude>2.0</b:magnitude>"
RESTORE = "<b:restoreTo><b:value>22.0</b:value><b:unit>celsius</b:unit></b:restoreTo>"


class BareSeconds(NamedTuple):
    """Wall seconds of all commits, and of all restores: `at_once` buildings concurrently, zones in turn."""

    commits: float
    restores: float


def bare_seconds(entries: Sequence[FacilityEntry], *, at_once: int) -> BareSeconds:
    """The zones are free before and afterwards."""
    return uvloop.run(_bare(entries, at_once))


async def _bare(entries: Sequence[FacilityEntry], at_once: int) -> BareSeconds:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "text/xml"}) as session:
        await _all(session, entries, "PrepareCommand", MAGNITUDE, at_once)
        commits_s = await _all(session, entries, "CommitCommand", MAGNITUDE, at_once)
        return BareSeconds(commits_s, await _all(session, entries, "RestoreZone", RESTORE, at_once))


async def _all(
    session: aiohttp.ClientSession, entries: Sequence[FacilityEntry], operation: str, rest: str, at_once: int
) -> float:
    """Send all calls, building by building, with one connection per building. Returns their wall seconds."""
    expires_at = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    bodies = [
        [
            _ENVELOPE.format(
                operation=operation,
                command_id=uuid5(uuid4(), operation),
                dr_event_id=DR_EVENT,
                facility_id=entry.facility_id,
                zone_id=zone.zone_id,
                expires_at=expires_at,
                rest=rest,
            ).encode()
            for zone in entry.zones
        ]
        for entry in entries
    ]
    waiting = iter(zip(entries, bodies, strict=True))

    async def caller() -> None:
        for entry, calls in waiting:
            for body in calls:
                async with session.post(entry.bms.address, data=body) as response:
                    text = await response.read()
                    if response.status != 200:
                        raise RuntimeError(f"the bare call was refused: {text[:300]!r}")

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return time.perf_counter() - began
