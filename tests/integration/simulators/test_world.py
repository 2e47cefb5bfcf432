"""The whole simulated world: one process, real servers, and loads that follow commands."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import nats
import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from adapters.bms.soap import SoapBuildingControl
from adapters.bms.soap_client import SoapLimits
from adapters.clock import AcceleratedClock
from adapters.embedded import EmbeddedServers
from application.facility.portfolio_entries import FacilityEntry, Portfolio
from application.ports.dispatch.building_control import BmsConnection, BmsRefused, ZoneCommand
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.journal import read_journal
from interfaces.simulators.meters.load_model import LoadModel
from interfaces.simulators.outside_journal import WEATHER_JOURNAL, WeatherCall
from interfaces.simulators.sample_portfolio import make_portfolio
from interfaces.simulators.utility import ReceivedCallback, UtilityFaults
from interfaces.simulators.weather.service import WeatherFaults
from interfaces.simulators.world import opened_world
from interfaces.simulators.world_spec import (
    InvalidWorld,
    WorldAddresses,
    WorldSpec,
    read_portfolio,
    read_world_spec,
)
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.patience import ANSWER_S, RUN_S, START_S
from tests.sample_values import THIS_MACHINE
from tests.servers import nats_server
from tests.webhook_signature import sign_v1

SECRET = b"whispered"
EPOCH = datetime(2026, 7, 14, 20, tzinfo=UTC)
SPEED = 600.0
PATIENT = SoapLimits(total_floor_s=ANSWER_S)


def clock() -> AcceleratedClock:
    return AcceleratedClock(epoch=EPOCH, started_at=datetime.now(UTC), speed=SPEED)


def written(portfolio: Portfolio, folder: Path) -> str:
    path = folder / "portfolio.json"
    path.write_bytes(msgspec.json.encode(portfolio))
    return str(path)


@contextlib.asynccontextmanager
async def world(folder: Path, *, facilities: int = 2, **spec: Any) -> AsyncIterator[WorldAddresses]:
    portfolio = make_portfolio(
        facilities, bms_url="http://127.0.0.1:1", callback_secret_ref="env:GRIDPROOF_SECRET_CALLBACK"
    )
    full = WorldSpec(portfolio=written(portfolio, folder), directory=str(folder), **spec)
    opened = opened_world(full, clock=clock(), secret=lambda _: SECRET)
    async with asyncio.timeout(RUN_S), opened as (addresses, tasks):
        yield addresses
        for task in tasks:
            if task.done():
                task.result()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not reached():  # noqa: ASYNC110  # polls a file
            await asyncio.sleep(0.02)


async def stored(stream: JetStreamContext, more: int) -> None:
    """Wait for so many messages more. A server that has just started may not answer yet."""
    before: int | None = None
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(nats.errors.Error):
                count = (await stream.stream_info("meters")).state.messages
                before = count if before is None else before
                if count >= before + more:
                    return
            await asyncio.sleep(0.05)


def command(entry: FacilityEntry, phase: str) -> ZoneCommand:
    zone = entry.zones[0]
    return ZoneCommand(
        command_id=uuid4(),
        dr_event_id=UUID(int=5),
        facility_id=entry.facility_id,
        zone_id=zone.zone_id,
        phase=phase,  # type: ignore[arg-type]
        plan_revision=0,
        round=0,
        strategy=zone.strategy,
        magnitude=zone.max_magnitude,
        expires_at=EPOCH + timedelta(days=1),
    )


def test_the_meters_follow_the_load_model_and_fall_when_a_zone_is_curtailed(
    nats_server: EmbeddedServers, tmp_path: Path
) -> None:
    async def scenario() -> None:
        readings: dict[str, list[dict[str, Any]]] = {}
        heard = asyncio.Event()

        async def note(message: Msg) -> None:
            _, facility, meter, last = message.subject.split(".")
            assert (meter, last) == ("main", "readings")
            readings.setdefault(facility, []).append(json.loads(message.data))
            heard.set()

        async def received(count: int) -> None:
            while len(readings.get("fac-001", [])) < count:
                heard.clear()
                await heard.wait()

        watcher = await nats.connect(nats_server.nats_url)
        await watcher.subscribe("meters.>", cb=note)
        await watcher.flush()
        mqtt_url = nats_server.meters_mqtt_url
        async with world(
            tmp_path, mqtt_url=mqtt_url, meter_cadence_s=60, silent_meters=("fac-002",)
        ) as found:
            await received(5)
            entry = read_portfolio(tmp_path / "portfolio.json").facilities[0]
            connection = BmsConnection(
                facility_id="fac-001", address=f"{found.bms_url}/buildings/fac-001/bms"
            )
            control = SoapBuildingControl(
                clock=clock(),
                secret=lambda _: b"",
                networks=THIS_MACHINE,
                slots=FakeCallSlots(),
                limits=PATIENT,
            )
            await control.execute(connection, command(entry, "prepare"))
            await control.execute(connection, command(entry, "commit"))
            await received(len(readings["fac-001"]) + 12)
            await control.aclose()
        await watcher.close()
        assert set(readings) == {"fac-001"}
        check(readings["fac-001"], entry)

    def check(said: list[dict[str, Any]], entry: FacilityEntry) -> None:
        model = LoadModel("fac-001", tz=entry.tz, weather_cell=entry.weather_cell)
        assert {reading["schema"] for reading in said} == {1}
        assert [r["seq"] for r in said] == list(range(said[0]["seq"], said[0]["seq"] + len(said)))
        totals = [reading["kwh_total"] for reading in said]
        assert totals == sorted(totals)
        assert totals[0] > 1000
        missing_kw = [model.load_kw(datetime.fromisoformat(r["ts"])) - r["kw"] for r in said]
        curtailed = [missing > 1.0 for missing in missing_kw]
        assert not any(curtailed[:5])
        assert all(curtailed[-5:])
        assert curtailed == sorted(curtailed)
        for missing, is_curtailed in zip(missing_kw, curtailed, strict=True):
            expected_kw = entry.zones[0].curtailable_kw if is_curtailed else 0.0
            assert missing == pytest.approx(expected_kw, abs=0.01)

    asyncio.run(scenario())
    assert [entry.action for entry in read_journal(tmp_path / "bms-journal.jsonl", JournalEntry)] == [
        "prepare",
        "commit",
    ]


def test_no_reading_is_lost_when_the_broker_is_killed_and_restarted(tmp_path: Path) -> None:
    async def scenario() -> None:
        with nats_server() as servers:
            watcher = await nats.connect(servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
            stream = watcher.jetstream()
            await stream.add_stream(name="meters", subjects=["meters.>"])
            async with world(tmp_path, mqtt_url=servers.meters_mqtt_url, meter_cadence_s=60, facilities=3):
                await stored(stream, 60)
                servers.nats.kill()
                await asyncio.sleep(0.5)
                servers.nats.start()
                await stored(stream, 120)
            seen: dict[str, set[int]] = {}
            kept = await stream.stream_info("meters")
            pull = await stream.pull_subscribe("meters.>", durable="check")
            for message in await pull.fetch(kept.state.messages, timeout=ANSWER_S):
                seen.setdefault(message.subject, set()).add(json.loads(message.data)["seq"])
            await watcher.close()
        assert len(seen) == 3
        for seqs in seen.values():
            assert sorted(seqs) == list(range(min(seqs), max(seqs) + 1))
            assert len(seqs) > 25

    asyncio.run(scenario())


def test_silent_meters_publish_nothing_at_all(nats_server: EmbeddedServers, tmp_path: Path) -> None:
    async def scenario() -> None:
        heard: list[str] = []

        async def note(message: Msg) -> None:
            heard.append(message.subject)

        watcher = await nats.connect(nats_server.nats_url)
        await watcher.subscribe("meters.>", cb=note)
        await watcher.flush()
        async with world(
            tmp_path, mqtt_url=nats_server.meters_mqtt_url, meter_cadence_s=15, all_meters_silent=True
        ):
            await asyncio.sleep(0.5)
        await watcher.close()
        assert heard == []

    asyncio.run(scenario())


def signed(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    return {"X-Signature": sign_v1(secret, body, at=EPOCH), "Content-Type": "application/json"}


def test_the_utility_journals_every_callback_and_answers_only_signed_ones_with_200(tmp_path: Path) -> None:
    body = b'{"kind": "accepted", "dr_event_id": "e-1", "callback_id": "c-1"}'

    async def scenario() -> list[int]:
        async with (
            world(tmp_path, utility=UtilityFaults(fail_first=1)) as found,
            aiohttp.ClientSession() as session,
        ):
            statuses = []
            for headers in (signed(body), signed(body), signed(body, b"guessed"), {}):
                async with session.post(found.callback_url, data=body, headers=headers) as answer:
                    statuses.append(answer.status)
            async with session.post(found.callback_url, data=b"no", headers=signed(b"no")) as answer:
                statuses.append(answer.status)
            return statuses

    assert asyncio.run(scenario()) == [503, 200, 401, 401, 400]
    received = read_journal(tmp_path / "callbacks.jsonl", ReceivedCallback)
    assert [callback.signature_ok for callback in received] == [True, True, False, False, True]
    assert {(c.kind, c.dr_event_id, c.callback_id) for c in received[:4]} == {("accepted", "e-1", "c-1")}
    assert [callback.status for callback in received] == [503, 200, 401, 401, 400]


def test_the_weather_service_is_exact_about_the_past_and_errs_about_the_future(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            world(tmp_path, weather=WeatherFaults(fail_first=1, quota_per_day=4)) as found,
            aiohttp.ClientSession(found.weather_url) as session,
        ):
            cell = read_portfolio(tmp_path / "portfolio.json").facilities[0].weather_cell
            day = {"cell": cell, "from": "2026-07-13T20:00:00Z", "to": "2026-07-15T20:00:00Z"}

            async def get_weather(query: dict[str, str]) -> tuple[int, Any]:
                async with session.get("/v1/forecast", params=query) as answer:
                    return answer.status, await answer.json()

            assert (await get_weather(day))[0] == 503
            status, document = await get_weather(day)
            assert status == 200
            check(document)
            assert (await get_weather(day))[1]["hours"][30] == document["hours"][30]
            assert (await get_weather({**day, "from": "2026-07-13T20:00:00"}))[0] == 400
            assert (await get_weather({**day, "to": "2036-07-13T20:00:00Z"}))[0] == 400
            assert [(await get_weather(day))[0] for _ in range(2)] == [200, 429]
            calls = read_journal(tmp_path / WEATHER_JOURNAL, WeatherCall)
            assert [call.issued_at is not None for call in calls] == [False, True, True, False, True, False]
            assert calls[1].issued_at == datetime.fromisoformat(document["issued_at"])

    def check(document: Any) -> None:
        entry = read_portfolio(tmp_path / "portfolio.json").facilities[0]
        source = LoadModel("fac-001", tz=entry.tz, weather_cell=entry.weather_cell)
        hours = {datetime.fromisoformat(hour["at"]): hour["temp_c"] for hour in document["hours"]}
        assert len(hours) == 48
        issued_at = datetime.fromisoformat(document["issued_at"])
        errors = {at: abs(temp_c - source.temperature_c(at)) for at, temp_c in hours.items()}
        assert max(error for at, error in errors.items() if at <= issued_at) < 0.01
        assert max(error for at, error in errors.items() if at > issued_at) > 0.1
        assert max(errors.values()) < 4.0

    asyncio.run(scenario())


def test_a_taken_port_ends_the_world_with_advice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as found:
            other = tmp_path / "other"
            other.mkdir()
            bind = found.bms_url.removeprefix("http://")
            async with world(other, bms_bind=bind):
                raise AssertionError("two worlds on one port")

    with pytest.raises(Exception, match="choose another port"):
        asyncio.run(scenario())


def test_an_expired_curtailment_is_journaled_without_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        earlier = clock()
        async with world(tmp_path) as found:
            entry = read_portfolio(tmp_path / "portfolio.json").facilities[0]
            connection = BmsConnection(
                facility_id="fac-001", address=f"{found.bms_url}/buildings/fac-001/bms"
            )
            control = SoapBuildingControl(
                clock=clock(),
                secret=lambda _: b"",
                networks=THIS_MACHINE,
                slots=FakeCallSlots(),
                limits=PATIENT,
            )
            # A busy machine may need longer for the two calls than the first of these times, in wall seconds.
            for expires_in_s in (2.5, 10.0, 20.0):
                soon = earlier.now() + timedelta(seconds=SPEED * expires_in_s)
                with contextlib.suppress(BmsRefused):
                    for phase in ("prepare", "commit"):
                        await control.execute(
                            connection, msgspec.structs.replace(command(entry, phase), expires_at=soon)
                        )
                    break
            journal = tmp_path / "bms-journal.jsonl"
            await control.aclose()
            await until(lambda: read_journal(journal, JournalEntry)[-1].action == "expired")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "text", [b"{}", b'{"portfolio": 1}', b"nothing", b'{"portfolio":"p","directory":"d","x":1}']
)
def test_a_bad_specification_is_refused_with_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "world-spec.json"
    path.write_bytes(text)
    with pytest.raises(InvalidWorld, match=r"world-spec\.json"):
        read_world_spec(path)
