"""The faults between hosts do what they say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hosts.network import Host, Network, namespaces, network, pids, remove_leftovers

PORT = 7777
WITHIN_S = 30.0
_ECHO = f"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", {PORT}))
while True:
    data, sender = server.recvfrom(100)
    server.sendto(data, sender)
"""


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with network(3) as built:
        for host in built.hosts:
            start_echo(host, tmp_path_factory.mktemp("echo"))
        yield built


@pytest.fixture(autouse=True)
def healed(lan: Network) -> Iterator[None]:
    yield
    for host in lan.hosts:
        host.heal()


def start_echo(host: Host, folder: Path) -> None:
    host.start([sys.executable, "-c", _ECHO], log=folder / "echo.log")
    assert reaches(host, host)


def reaches(sender: Host, receiver: Host) -> bool:
    """Whether an answer comes, within a time that is long enough for a busy machine."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if answers(sender, receiver, datagrams=1):
            return True
    return False


def answers(sender: Host, receiver: Host, *, datagrams: int) -> int:
    """How many of them come back, until nothing came for half a second."""

    def send() -> int:
        came = 0
        with udp_socket(sender) as one:
            for _ in range(datagrams):
                one.sendto(b"echo", (receiver.address, PORT))
            one.settimeout(0.5)
            with suppress(TimeoutError):
                while came < datagrams:
                    came += one.recv(100) == b"echo"
        return came

    return sender.call(send)


def test_only_a_host_that_is_cut_off_is_unreachable_until_it_is_healed(lan: Network) -> None:
    assert reaches(lan[0], lan[1])
    lan[1].cut()
    assert answers(lan[0], lan[1], datagrams=3) == 0
    assert answers(lan[1], lan[2], datagrams=3) == 0
    assert reaches(lan[0], lan[2])
    lan[1].heal()
    assert reaches(lan[0], lan[1])


def test_one_direction_can_be_cut(lan: Network) -> None:
    with lan[1].call(lambda: udp_socket(lan[1])) as there, lan[0].call(lambda: udp_socket(lan[0])) as here:
        here.sendto(b"both know the hardware address of the other", there.getsockname())
        there.sendto(b"both know the hardware address of the other", here.getsockname())
        assert there.recv(100) == here.recv(100)
        lan[1].cut_towards(lan[0])
        here.sendto(b"passes", there.getsockname())
        assert there.recv(100) == b"passes"
        there.sendto(b"does not pass", here.getsockname())
        here.settimeout(0.5)
        with pytest.raises(TimeoutError):
            here.recv(100)
        assert reaches(lan[1], lan[2])


def udp_socket(host: Host) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((host.address, 0))
    opened.settimeout(WITHIN_S)
    return opened


def test_frames_are_lost_at_random(lan: Network) -> None:
    assert reaches(lan[0], lan[1])
    lan[1].lose(50)
    assert 0 < answers(lan[0], lan[1], datagrams=100) < 100
    assert reaches(lan[0], lan[2])


def test_frames_of_one_host_take_their_time(lan: Network) -> None:
    assert reaches(lan[0], lan[1])
    lan[1].delay(0.2)
    assert reaches(lan[0], lan[1]), "it answers, but later"
    assert round_trip_s(lan[0], lan[1]) >= 0.4, "there and back"
    lan[1].cut()
    assert answers(lan[0], lan[1], datagrams=3) == 0, "a rule holds on the slow cable too"
    lan[1].heal()
    assert reaches(lan[0], lan[1])
    assert min(round_trip_s(lan[0], lan[1]) for _ in range(20)) < 0.4


def round_trip_s(sender: Host, receiver: Host) -> float:
    def send() -> float:
        with udp_socket(sender) as one:
            began = time.monotonic()
            one.sendto(b"echo", (receiver.address, PORT))
            assert one.recv(100) == b"echo"
            return time.monotonic() - began

    return sender.call(send)


def test_long_messages_pass_a_slow_cable_whole(lan: Network, tmp_path: Path) -> None:
    """The kernel leaves checksums and the cutting of long frames to a device; a program that carries them cannot."""
    script = (
        f"import socket; s = socket.create_server(('', {PORT})); c, _ = s.accept()\n"
        "while data := c.recv(65536): c.sendall(data)\n"
    )
    lan[1].start([sys.executable, "-c", script], log=tmp_path / "server.log")
    lan[1].delay(0.02)
    sent = os.urandom(300_000)
    with connected(lan[0], lan[1]) as here:
        here.settimeout(WITHIN_S)
        for start in range(0, len(sent), 30_000):
            part = sent[start : start + 30_000]
            here.sendall(part)
            got = b""
            while len(got) < len(part):
                got += here.recv(65_536)
            assert got == part


def test_a_host_that_lost_its_power_answers_again_after_its_boot(lan: Network, tmp_path: Path) -> None:
    assert reaches(lan[0], lan[2])
    lan[2].power_off()
    assert answers(lan[0], lan[2], datagrams=3) == 0
    lan[2].boot()
    start_echo(lan[2], tmp_path)
    assert reaches(lan[0], lan[2])


def test_a_host_that_loses_its_power_ends_no_connection(lan: Network, tmp_path: Path) -> None:
    script = f"import socket; s = socket.create_server(('', {PORT})); c, _ = s.accept(); c.recv(1)"
    lan[2].start([sys.executable, "-c", script], log=tmp_path / "server.log")
    with connected(lan[0], lan[2]) as here:
        lan[2].power_off()
        here.settimeout(0.5)
        with pytest.raises(TimeoutError):
            here.recv(1)
    lan[2].boot()


def connected(client: Host, server: Host) -> socket.socket:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return client.call(lambda: socket.create_connection((server.address, PORT), WITHIN_S))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "no server"
            time.sleep(0.05)


def test_nothing_is_left_after_a_failure() -> None:
    made: set[str] = set()
    with pytest.raises(RuntimeError, match="planted"):
        fail_among_hosts(made)
    assert len(made) == 2
    assert made.isdisjoint(namespaces())


def fail_among_hosts(made: set[str]) -> None:
    with network(2) as built:
        made |= {host.namespace for host in built.hosts}
        assert made <= set(namespaces())
        raise RuntimeError("planted")


def test_the_next_run_removes_what_a_killed_one_left() -> None:
    """Its switch, its hosts and their processes."""
    script = (
        "import subprocess, time\nfrom tests.hosts.network import network\n"
        "with network(1) as built:\n"
        "    name = built[0].namespace\n"
        "    subprocess.Popen(['ip', 'netns', 'exec', name, 'sleep', '600'])\n"
        "    print(name, flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        name = run.stdout.readline().strip()
        deadline = time.monotonic() + WITHIN_S
        while not pids(name):  # a process begins outside
            assert time.monotonic() < deadline, "no process on the host"
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGKILL)
    remove_leftovers()
    assert [left for left in namespaces() if left.startswith(f"gp{run.pid}-")] == []
