"""The doctor asks real servers: NATS for its clock and streams, and buildings whether they take connections."""

import asyncio
import socket
from contextlib import aclosing
from pathlib import Path

from adapters.bms.reachability import unreachable
from adapters.embedded import EmbeddedServers
from adapters.nats.work_queue import NatsWorkQueue
from application.facility.bms_networks import BmsNetworks
from interfaces.bootstrap.doctor.servers import NATS_CLOCK, NATS_DISK, STREAMS, check_nats

WITHIN_S = 60.0


def test_nats_says_its_time_its_streams_and_what_it_takes(
    nats_server: EmbeddedServers, tmp_path: Path
) -> None:
    async def create_streams() -> None:
        async with aclosing(
            await NatsWorkQueue.connect(nats_server.nats_url, redelivery_s=1.0, name="doctor test")
        ):
            pass

    asyncio.run(create_streams())
    found = {one.check: one for one in check_nats(tmp_path, nats_server.nats_url)}

    assert found[NATS_CLOCK].state == "ok"
    assert abs(found[NATS_CLOCK].facts["seconds"]) < 5
    assert found[STREAMS].state == "ok"
    assert {"BMS_WORK", "CALLBACK_WORK"} <= found[STREAMS].facts.keys()
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


def test_buildings_that_cannot_be_tried_in_time_count_as_unreachable() -> None:
    addresses = [f"http://192.0.2.{number}/soap" for number in range(1, 200)]

    problems = asyncio.run(unreachable(addresses, BmsNetworks.of("192.0.2.0/24"), within_s=0.01))

    assert problems.keys() == set(addresses)
