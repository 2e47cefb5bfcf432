"""nats-server on several hosts as one cluster, with its MQTT listeners; on one host a single server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from adapters.embedded import binaries
from tests.hosts.network import Host

T = TypeVar("T")
PORT, MQTT, ROUTES = 4222, 1883, 6222
USER, PASSWORD = "gridproof", "pw"
HEALTHY_WITHIN_S = 120.0
LAME_DUCK_S = 30
"""The least that the server takes; its default is two minutes."""
_CONFIGURATION = """\
server_name: "n{number}"
listen: "{address}:{port}"
max_payload: 1MB
lame_duck_duration: "{lame_duck_s}s"
lame_duck_grace_period: "2s"
jetstream {{ store_dir: "{store}", max_file_store: 8GB, max_memory_store: 1GB, sync_interval: always }}
{cluster}
mqtt {{ listen: "0.0.0.0:{mqtt}", ack_wait: "2s", max_ack_pending: 16384, stream_replicas: {replicas} }}
authorization {{ users: [ {{ user: {user}, password: {password} }} ] }}
"""
_CLUSTER = """\
cluster {{
    name: gridproof, listen: "{address}:{routes_port}", routes: [ {routes} ]
    authorization {{ user: route, password: secret, timeout: 2 }}
}}
"""


def mqtt_url(address: str) -> str:
    return f"mqtt://{USER}:{PASSWORD}@{address}:{MQTT}"


class NatsCluster:
    """Its server on a host starts with `boot`; it ends with the host."""

    def __init__(self, hosts: Sequence[Host], client: Host, folder: Path) -> None:
        self.hosts = tuple(hosts)
        self.client = client
        self._folder = folder
        self._program = binaries.nats_server()
        self._servers: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return ",".join(f"nats://{USER}:{PASSWORD}@{host.address}:{PORT}" for host in self.hosts)

    @property
    def replicas(self) -> int:
        return len(self.hosts)

    def boot(self, host: Host) -> None:
        folder = self._folder / f"nats-{host.number}"
        (folder / "jetstream").mkdir(parents=True, exist_ok=True)
        others = [one for one in self.hosts if one is not host]
        routes = ", ".join(f'"nats://route:secret@{one.address}:{ROUTES}"' for one in others)
        cluster = _CLUSTER.format(address=host.address, routes_port=ROUTES, routes=routes) if others else ""
        (folder / "nats.conf").write_text(
            _CONFIGURATION.format(
                number=host.number,
                address=host.address,
                port=PORT,
                mqtt=MQTT,
                lame_duck_s=LAME_DUCK_S,
                store=folder / "jetstream",
                cluster=cluster,
                replicas=self.replicas,
                user=USER,
                password=PASSWORD,
            )
        )
        command: list[str | Path] = [self._program, "-c", folder / "nats.conf"]
        self._servers[host.number] = host.start(command, log=folder / "nats.log")

    def kill(self, host: Host) -> None:
        """kill -9 of the server alone."""
        self._servers[host.number].kill()
        self._servers[host.number].wait(HEALTHY_WITHIN_S)

    def drain(self, host: Host) -> None:
        """For an upgrade: it hands its leaderships over and its clients away, then it ends (lame duck mode)."""
        server = self._servers[host.number]
        server.send_signal(signal.SIGUSR2)
        server.wait(HEALTHY_WITHIN_S)

    def has_ended(self, host: Host) -> bool:
        return self._servers[host.number].poll() is not None

    def messages(self, stream: str) -> int:
        streams = self.answer(lambda jetstream: jetstream.streams_info())
        return sum(info.state.messages for info in streams if info.config.name == stream)

    def streams(self) -> list[StreamInfo]:
        """[] while JetStream does not answer."""

        return self.ask(lambda jetstream: jetstream.streams_info()) or []

    def ask(self, question: Callable[[JetStreamContext], Awaitable[T]]) -> T | None:
        """What JetStream answers to the client; None without an answer."""

        async def ask() -> T:
            connection = await nats.connect(
                self.url.split(","), connect_timeout=2, max_reconnect_attempts=1, error_cb=_ignore
            )
            try:
                return await question(connection.jetstream(timeout=2))
            finally:
                await connection.close()

        try:
            return self.client.call(lambda: asyncio.run(ask()))
        except (NatsError, OSError, TimeoutError):
            return None

    def leader_of(self, stream: str) -> Host:
        """The host of its leader, once it has one."""
        by_name = {f"n{host.number}": host for host in self.hosts}

        async def leader(jetstream: JetStreamContext) -> str | None:
            cluster = (await jetstream.stream_info(stream)).cluster
            return None if cluster is None else cluster.leader

        return by_name[self.answer(leader)]

    def is_whole(self) -> bool:
        """Every stream has all its replicas, and each is current."""
        streams = self.streams()
        return bool(streams) and all(
            info.cluster is not None
            and info.cluster.leader is not None
            and len(replicas := info.cluster.replicas or []) == self.replicas - 1
            and all(one.current and not one.offline for one in replicas)
            for info in streams
        )

    def wait_until_whole(self) -> float:
        """Seconds."""
        began = time.monotonic()
        while not self.is_whole():
            assert time.monotonic() - began < HEALTHY_WITHIN_S, f"no whole cluster: {self.described()}"
            time.sleep(0.2)
        return time.monotonic() - began

    def wait_until_answers(self) -> None:
        """JetStream takes requests."""
        self.answer(lambda jetstream: jetstream.account_info())

    def answer(self, question: Callable[[JetStreamContext], Awaitable[T | None]]) -> T:
        """What JetStream answers; waits while there is no answer or it is None, as during an election."""
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while (answer := self.ask(question)) is None:
            assert time.monotonic() < deadline, f"JetStream does not answer: {self.described()}"
            time.sleep(0.1)
        return answer

    def described(self) -> str:
        return str(
            {path.parent.name: path.read_text()[-1_500:] for path in self._folder.glob("nats-*/nats.log")}
        )


async def _ignore(_: Exception) -> None:
    return


@contextmanager
def nats_cluster(hosts: Sequence[Host], client: Host, folder: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(hosts, client, folder)
    for host in hosts:
        cluster.boot(host)
    cluster.wait_until_answers()
    yield cluster
