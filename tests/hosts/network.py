"""Hosts as network namespaces: a switch, one namespace for each host, real partitions between them.

    with network(3) as lan:
        lan[1].start(["nats-server", ...], log=path)      # a process of host 1
        lan[1].call(lambda: psycopg.connect(...))          # what host 1 sees
        lan[1].cut(); lan[1].delay(0.05); lan[1].heal(); lan[1].power_off(); lan[1].boot()

Everything is in namespaces: nothing in that of the machine, no default route. Names contain the pid of this process, so
that several runs do not meet; a run removes what an earlier one left whose process was killed.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TypeVar

import pytest

from adapters.embedded import child_process
from adapters.embedded.orphans import is_alive
from tests.debian_packages import debian_command_path
from tests.hosts.slow_cable import SlowCable, set_offloads
from tests.patience import START_S

T = TypeVar("T")
SUBNET = "198.18.0"
"""Of the range that is reserved for benchmarks (RFC 2544)."""
NETWORKS = f"{SUBNET}.0/24"
ENDED_WITHIN_S = 20.0
STOPPED_WITHIN_S = 120.0
_OURS = re.compile(r"gp(\d+)-\d+-(?:switch|\d+)")
_CLONE_NEWNET = 0x40000000
_NETNS = Path("/run/netns")
_TABLE = """
add table bridge faults
delete table bridge faults
table bridge faults {{
    chain frames {{
        type filter hook forward priority 0; policy accept;
        {rules}
    }}
}}
"""
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def needed(command: str) -> str:
    """Its path; the test is skipped, or in CI fails, where it is absent."""
    return str(debian_command_path(command, os.environ))


def skip_where_refused() -> None:
    """Skip the test where namespaces or the rules between them are refused."""
    if os.geteuid() != 0:
        pytest.skip("tests of several hosts make network namespaces, which only root may do")
    ip, nft, probe = needed("ip"), needed("nft"), f"gp{os.getpid()}-0-0"
    try:
        _run(ip, "netns", "add", probe)
        try:
            _run(ip, "netns", "exec", probe, nft, "add table bridge probe")
            _run(ip, "-n", probe, "link", "add", "probe", "type", "bridge")
        finally:
            _run(ip, "netns", "del", probe)
    except Refused as refusal:
        pytest.skip(f"this machine refuses network namespaces: {refusal}")


class Refused(RuntimeError):
    """A command that sets up the network failed."""


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=START_S)
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Host:
    """One namespace. Its processes die with this one."""

    def __init__(self, switch: Switch, number: int) -> None:
        self.number = number
        self.address = f"{SUBNET}.{10 + number}"
        self.namespace = f"{switch.prefix}-{number}"
        self.port = f"v{number}"
        """The interface of the switch that leads to it."""
        self._switch = switch
        self._children: list[subprocess.Popen[bytes]] = []
        self._threads: ThreadPoolExecutor | None = None
        self._slow_cable: SlowCable | None = None
        self.hardware_address = f"02:00:c6:12:00:{number:02x}"
        self.is_on = False

    def boot(self) -> None:
        """A namespace without processes, connected to the switch."""
        ip, switch = needed("ip"), self._switch.namespace
        _run(ip, "netns", "add", self.namespace)
        # The hardware address stays the same after a boot, as that of a real machine: its peers remember it.
        peer = ("peer", "name", "eth0", "netns", self.namespace, "address", self.hardware_address)
        _run(ip, "-n", switch, "link", "add", self.port, "type", "veth", *peer)
        _run(ip, "-n", switch, "link", "set", self.port, "master", "br0", "up")
        _run(ip, "-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _run(ip, "-n", self.namespace, "link", "set", link, "up")
        self._threads = ThreadPoolExecutor(4, initializer=_enter, initargs=(self.namespace,))
        self.is_on = True
        self.heal()

    def power_off(self) -> None:
        """Nothing leaves it any more, then every process is killed, then its sockets are gone: no peer gets an end
        of a connection."""
        self.cut()
        self.remove()

    def remove(self) -> None:
        self.is_on = False
        self._end_delay()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        # The cable goes first: the kernel removes a namespace later, and while a socket of it is open, not at all.
        with suppress(Refused):
            _run(needed("ip"), "-n", self._switch.namespace, "link", "delete", self.port)
        remove_namespace(self.namespace)
        for child in self._children:
            child.wait(ENDED_WITHIN_S)
        self._children = []

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        command = [*self.prefix, *map(str, argv)]
        with log.open("ab") as output:
            child = child_process.spawn(command, output=output, env=env, cwd=cwd)
        self._children.append(child)
        return child

    @property
    def prefix(self) -> list[str]:
        """The words before a command that put it on this host."""
        return [needed("ip"), "netns", "exec", self.namespace]

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns in a thread of this host: sockets that it opens, and threads that it starts, are
        of the host."""
        return self.submit(function).result()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """The same, without waiting for it."""
        assert self._threads is not None, f"{self.namespace} was never started"
        return self._threads.submit(function)

    @contextmanager
    def running(self, function: Callable[[Event], object]) -> Iterator[None]:
        """`function` runs in a thread of this host during the block; it returns once its event is set."""
        stop = Event()
        under_way = self.submit(lambda: function(stop))
        try:
            yield
        finally:
            stop.set()
            under_way.result(STOPPED_WITHIN_S)

    def take_address(self, address: str) -> None:
        """Another address from now on, which the others find here: a virtual one that moves between hosts."""
        _run(needed("ip"), "-n", self.namespace, "address", "add", f"{address}/24", "dev", "eth0")
        self.call(lambda: _announce(address, self.hardware_address))

    def drop_address(self, address: str) -> None:
        _run(needed("ip"), "-n", self.namespace, "address", "delete", f"{address}/24", "dev", "eth0")

    def cut(self) -> None:
        """The cable is out: nothing passes in either direction, and nobody is told."""
        self._switch.add_fault(self, f"iifname {self.port} drop", f"oifname {self.port} drop")

    def cut_towards(self, other: Host) -> None:
        """Nothing passes from here to `other`; the other direction is open."""
        self._switch.add_fault(self, f"iifname {self.port} oifname {other.port} drop")

    def lose(self, percent: int) -> None:
        """Frames from and to it are lost at random."""
        lost = f"numgen random mod 100 < {percent} drop"
        self._switch.add_fault(self, f"iifname {self.port} {lost}", f"oifname {self.port} {lost}")

    def delay(self, seconds: float) -> None:
        """Each frame from it and to it takes so long; the other faults hold too. Frames under way are lost."""
        self._end_delay()
        self.call(lambda: set_offloads("eth0", on=False))
        self._slow_cable = self._switch.lengthen(self.port, seconds)

    def _end_delay(self) -> None:
        if self._slow_cable is not None:
            self._switch.shorten(self.port, self._slow_cable)
            self._slow_cable = None
            self.call(lambda: set_offloads("eth0", on=True))

    def heal(self) -> None:
        self._end_delay()
        self._switch.remove_faults(self)


class Switch:
    """The namespace with the bridge, and the rules that drop frames in it."""

    def __init__(self) -> None:
        self.prefix = f"gp{os.getpid()}-{next(_numbers)}"
        self.namespace = f"{self.prefix}-switch"
        self._faults: list[tuple[Host, str]] = []

    def start(self) -> None:
        ip = needed("ip")
        _run(ip, "netns", "add", self.namespace)
        _run(ip, "-n", self.namespace, "link", "add", "br0", "type", "bridge")
        for link in ("lo", "br0"):
            _run(ip, "-n", self.namespace, "link", "set", link, "up")

    def add_fault(self, host: Host, *rules: str) -> None:
        self._faults += [(host, rule) for rule in rules]
        self._apply()

    def remove_faults(self, host: Host) -> None:
        self._faults = [fault for fault in self._faults if fault[0] is not host]
        self._apply()

    def lengthen(self, port: str, seconds: float) -> SlowCable:
        """A slow cable takes the place of `port`, and its name, so that rules apply to it too."""
        self._link("set", port, "nomaster", "down")
        self._link("set", port, "name", f"{port}-end")
        self._link("set", f"{port}-end", "up")
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self.namespace,)) as here:
            cable = here.submit(SlowCable, f"{port}-end", port, seconds).result()
        self._link("set", port, "master", "br0", "up")
        cable.start()
        return cable

    def shorten(self, port: str, cable: SlowCable) -> None:
        cable.close()
        self._link("set", f"{port}-end", "down")
        self._link("set", f"{port}-end", "name", port)
        self._link("set", port, "master", "br0", "up")

    def _link(self, *words: str) -> None:
        _run(needed("ip"), "-n", self.namespace, "link", *words)

    def _apply(self) -> None:
        """All rules at once: the table is replaced in one transaction."""
        rules = "\n".join(rule for _, rule in self._faults)
        table = _TABLE.format(rules=rules)
        _run(needed("ip"), "netns", "exec", self.namespace, needed("nft"), "-f", "-", stdin=table)


class Network:
    """Hosts 0 to n - 1."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = tuple(hosts)

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number]


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """A switch with so many hosts; all removed afterwards, whatever happened."""
    skip_where_refused()
    remove_leftovers()
    switch = Switch()
    lan = Network([Host(switch, number) for number in range(hosts)])
    with ExitStack() as removed:
        removed.callback(remove_namespace, switch.namespace)
        switch.start()
        for host in lan.hosts:
            removed.callback(host.remove)
            host.boot()
        yield lan


def remove_leftovers() -> None:
    """Remove the namespaces of runs whose process is gone."""
    for name in namespaces():
        owner = _OURS.fullmatch(name)
        if owner and not is_alive(int(owner[1])):
            remove_namespace(name)


def namespaces() -> list[str]:
    return sorted(path.name for path in _NETNS.iterdir()) if _NETNS.is_dir() else []


def remove_namespace(name: str) -> None:
    """Kill its processes, then remove it."""
    if not (_NETNS / name).exists():
        return
    deadline = time.monotonic() + ENDED_WITHIN_S
    while left := pids(name):
        assert time.monotonic() < deadline, f"processes {left} of {name} survive SIGKILL"
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _run(needed("ip"), "netns", "del", name)


def pids(namespace: str) -> list[int]:
    found = map(int, _run(needed("ip"), "netns", "pids", namespace).split())
    return [pid for pid in found if is_alive(pid) and pid != os.getpid()]


def _announce(address: str, hardware_address: str) -> None:
    """Ask everybody for that address, from it: who remembers another host for it notes this one (gratuitous ARP)."""
    everybody, here = b"\xff" * 6, bytes.fromhex(hardware_address.replace(":", ""))
    ip = socket.inet_aton(address)
    request = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, here, ip, bytes(6), ip)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        wire.send(everybody + here + b"\x08\x06" + request)


def _enter(namespace: str) -> None:
    """This thread, and those that it starts, become part of the namespace."""
    with (_NETNS / namespace).open() as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
