"""The doctor asks real servers: NATS for its clock and streams, and buildings whether they take connections."""

import asyncio
import contextlib
import select
import socket
from pathlib import Path

import pytest

from adapters.bms.reachability import MOST_AT_ONCE, NOT_TRIED, unreachable
from adapters.embedded import EmbeddedServers
from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream
from application.facility.bms_networks import BmsNetworks
from interfaces.bootstrap.doctor.other_servers import assess_bms
from interfaces.bootstrap.doctor.servers import NATS_CLOCK, NATS_DISK, STREAMS, check_nats

WITHIN_S = 60.0


def test_nats_says_its_time_its_streams_and_what_it_takes(
    nats_server: EmbeddedServers, tmp_path: Path
) -> None:
    async def create_streams() -> None:
        client = await connect(nats_server.nats_url, name="doctor test")
        await NatsTelemetryStream(client).ensure_stream()
        await client.close()

    asyncio.run(create_streams())
    found = {one.check: one for one in check_nats(tmp_path, nats_server.nats_url)}

    assert found[NATS_CLOCK].state == "ok"
    assert abs(found[NATS_CLOCK].facts["seconds"]) < 5
    assert found[STREAMS].state == "ok"
    assert STREAM in found[STREAMS].facts
    assert "its disk is not seen from here" in found[NATS_DISK].detail
    (tmp_path / "nats").mkdir()
    beside = {one.check: one for one in check_nats(tmp_path, nats_server.nats_url)}
    assert "JetStream takes" in beside[NATS_DISK].detail
    assert "GB used" in beside[NATS_DISK].detail


def test_of_a_nats_that_is_away_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(check_nats(tmp_path, "nats://127.0.0.1:1")) == []


def test_a_building_is_reached_without_a_byte_and_others_are_named(tmp_path: Path) -> None:
    networks = BmsNetworks.of("127.0.0.0/8")
    with socket.create_server(("127.0.0.1", 0)) as bms, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        up = f"http://127.0.0.1:{bms.getsockname()[1]}/soap"
        down = f"http://127.0.0.1:{closed.getsockname()[1]}/soap"
        outside, nonsense = "http://192.0.2.7/soap", "http://127.0.0.1:99999/soap"

        problems = asyncio.run(unreachable([up, down, outside, nonsense], networks, within_s=WITHIN_S))

        connection, _ = bms.accept()
        with connection:
            connection.settimeout(WITHIN_S)
            assert connection.recv(1) == b"", "it was closed, and nothing was sent"
    assert problems.keys() == {down, outside, nonsense}
    assert "refused" in problems[down]
    assert "GRIDPROOF_BMS_NETWORKS" in problems[outside]


def port_without_answer(stack: contextlib.ExitStack) -> int:
    """A port of this machine whose queue of connections is full: another one waits for an answer that never comes."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    address = listener.getsockname()
    while True:
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(address)
        if not select.select([], [waiting], [], 0.5)[1]:
            return int(address[1])


def test_buildings_that_cannot_be_tried_in_time_are_counted_apart_from_those_out_of_reach() -> None:
    """However many there are: the row is done in that time. Where the machine stalls, those under way may also reach
    their own limit."""
    with contextlib.ExitStack() as stack:
        port = port_without_answer(stack)
        addresses = {f"http://127.0.0.1:{port}/soap/{n}": [f"fac-{n}"] for n in range(10_000)}
        problems = asyncio.run(unreachable(addresses, BmsNetworks.of("127.0.0.0/8"), within_s=0.01))

    assert problems.keys() == addresses.keys()
    assert list(problems.values()).count(NOT_TRIED) >= len(addresses) - MOST_AT_ONCE
    row = assess_bms(addresses, {}, untried=len(addresses))
    assert (row.state, row.detail) == ("warning", "0 reached; 10000 not tried within 15 s")
    one = assess_bms(addresses, {f"http://127.0.0.1:{port}/soap/0": "refused"}, untried=9_990)
    assert (one.state, one.detail) == (
        "warning",
        "1 of 10 not reached from here: fac-0 (refused); 9990 not tried within 15 s",
    )


def test_a_name_is_tried_at_each_of_its_addresses_if_all_of_them_may_be_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by the calls: a name that also leads elsewhere is not connected to at all."""
    with socket.create_server(("127.0.0.1", 0)) as bms, socket.create_server(("127.0.0.2", 0)) as closed:
        port = bms.getsockname()[1]
        closed.close()
        address = f"http://bms.example:{port}/soap"
        for hosts, wanted in (
            (["127.0.0.2", "127.0.0.1"], {}),
            (["127.0.0.1", "169.254.169.254"], {address}),
        ):
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
            problems = asyncio.run(unreachable([address], BmsNetworks.of("127.0.0.0/8"), within_s=WITHIN_S))
            assert problems.keys() == set(wanted)
